//! Journal and outbox in one SQLite file. Every write is one transaction; the file survives a kill at any moment.
//!
//! WAL with `synchronous = NORMAL`: a killed process loses nothing, a power cut may lose the last moments, and ten
//! thousand readings a day cost no disk flush each.

use anyhow::{Context, Result, bail};
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Serialize, de::DeserializeOwned};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

const FILE: &str = "journal.sqlite";
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS journal(seq INTEGER PRIMARY KEY, time INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS outbox(
        key TEXT PRIMARY KEY, kind TEXT NOT NULL, nonce INTEGER NOT NULL UNIQUE, body TEXT NOT NULL, outcome TEXT
    ) STRICT;";

/// See the module. One process at a time.
pub struct Store {
    connection: Connection,
    folder: PathBuf,
    /// Held while the store is open.
    _lock: File,
}

impl Store {
    /// Opens or makes the store of a folder.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let lock = lock(folder)?;
        let connection = Connection::open(&path).with_context(|| format!("{}: cannot open", path.display()))?;
        let prepare = || -> rusqlite::Result<()> {
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            connection.execute_batch(SCHEMA)
        };
        prepare().with_context(|| format!("{}: no journal of provolt, or damaged", path.display()))?;
        Ok(Self { connection, folder: folder.to_owned(), _lock: lock })
    }

    /// Forgets everything.
    pub fn reset(self) -> Result<Self> {
        let clear = "DELETE FROM meta; DELETE FROM journal; DELETE FROM outbox;";
        let path = self.folder.join(FILE);
        self.connection.execute_batch(clear).with_context(|| format!("{}: cannot be cleared", path.display()))?;
        Ok(self)
    }

    /// Appends to the journal; returns its place.
    pub fn append(&self, time: i64, body: &impl Serialize) -> Result<i64> {
        let mut insert = self.connection.prepare_cached("INSERT INTO journal(time, body) VALUES (?, ?)")?;
        insert.insert(params![time, serde_json::to_string(body)?]).context("journal: cannot append")
    }

    /// The whole journal in order: place, time, body.
    pub fn journal<T: DeserializeOwned>(&self) -> Result<Vec<(i64, i64, T)>> {
        let mut select = self.connection.prepare("SELECT seq, time, body FROM journal ORDER BY seq")?;
        let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?)))?;
        rows.map(|row| {
            let (seq, time, body) = row?;
            let body = serde_json::from_str(&body).with_context(|| format!("journal: entry {seq} is damaged"))?;
            Ok((seq, time, body))
        })
        .collect()
    }

    /// Keeps a signed transaction before it is sent. A key can be put once.
    pub fn outbox_put(&self, key: &str, kind: &str, nonce: u64, body: &impl Serialize) -> Result<()> {
        let mut insert =
            self.connection.prepare_cached("INSERT INTO outbox(key, kind, nonce, body) VALUES (?, ?, ?, ?)")?;
        insert
            .execute(params![key, kind, i64::try_from(nonce)?, serde_json::to_string(body)?])
            .with_context(|| format!("outbox: {key} with nonce {nonce} cannot be kept"))?;
        Ok(())
    }

    /// The transaction of a key.
    pub fn outbox_get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        let mut select = self.connection.prepare_cached("SELECT body FROM outbox WHERE key = ?")?;
        let body: Option<String> = select.query_row([key], |row| row.get(0)).optional()?;
        body.map(|b| serde_json::from_str(&b).with_context(|| format!("outbox: {key} is damaged"))).transpose()
    }

    /// Keeps what became of a transaction.
    pub fn outbox_settle(&self, key: &str, outcome: &impl Serialize) -> Result<()> {
        let mut update = self.connection.prepare_cached("UPDATE outbox SET outcome = ? WHERE key = ?")?;
        if update.execute(params![serde_json::to_string(outcome)?, key])? != 1 {
            bail!("outbox: no transaction {key}");
        }
        Ok(())
    }

    /// The nonce after the last one that was used; `None` before the first.
    pub fn outbox_next_nonce(&self) -> Result<Option<u64>> {
        let last: Option<i64> = self.connection.query_row("SELECT MAX(nonce) FROM outbox", [], |row| row.get(0))?;
        last.map(|n| Ok(u64::try_from(n)? + 1)).transpose()
    }

    /// A fact about the run.
    pub fn meta_get(&self, key: &str) -> Result<Option<String>> {
        let mut select = self.connection.prepare_cached("SELECT value FROM meta WHERE key = ?")?;
        Ok(select.query_row([key], |row| row.get(0)).optional()?)
    }

    /// Keeps a fact about the run.
    pub fn meta_set(&self, key: &str, value: &str) -> Result<()> {
        self.connection.execute("INSERT OR REPLACE INTO meta(key, value) VALUES (?, ?)", [key, value])?;
        Ok(())
    }
}

fn lock(folder: &Path) -> Result<File> {
    let path = folder.join("lock");
    let file = File::create(&path).with_context(|| format!("{}: cannot write", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!("{}: another provolt is running on this folder", folder.display()),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("{}: cannot lock", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> Result<PathBuf> {
        let folder = std::env::temp_dir().join(format!("provolt-store-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    #[test]
    fn what_was_written_is_there_again() -> Result<()> {
        let folder = folder("again")?;
        let store = Store::open(&folder)?;
        store.append(7, &"one")?;
        store.append(8, &"two")?;
        store.outbox_put("setpoints/0/1", "setpoints", 4, &"raw")?;
        drop(store);
        let store = Store::open(&folder)?;
        assert_eq!(store.journal::<String>()?, [(1, 7, "one".to_owned()), (2, 8, "two".to_owned())]);
        assert_eq!(store.outbox_get::<String>("setpoints/0/1")?.as_deref(), Some("raw"));
        assert_eq!(store.outbox_next_nonce()?, Some(5));
        assert!(store.reset()?.journal::<String>()?.is_empty());
        std::fs::remove_dir_all(folder)?;
        Ok(())
    }

    #[test]
    fn nothing_is_sent_twice() -> Result<()> {
        let folder = folder("twice")?;
        let store = Store::open(&folder)?;
        store.outbox_put("open/1", "open", 1, &"raw")?;
        assert!(store.outbox_put("open/1", "open", 2, &"other").is_err(), "a key was put twice");
        assert!(store.outbox_put("open/2", "open", 1, &"other").is_err(), "a nonce was used twice");
        assert!(store.outbox_settle("open/3", &"done").is_err(), "an unknown transaction was settled");
        std::fs::remove_dir_all(folder)?;
        Ok(())
    }

    #[test]
    fn one_process_at_a_time_and_no_damaged_file() -> Result<()> {
        let folder = folder("damaged")?;
        let store = Store::open(&folder)?;
        let error = Store::open(&folder).err().context("a second store was opened")?;
        assert!(error.to_string().contains("another provolt"), "{error}");
        drop(store);
        std::fs::write(folder.join(FILE), "this is not a database, but long enough to look at: ".repeat(20))?;
        let error = Store::open(&folder).err().context("a damaged file was opened")?;
        assert!(error.to_string().contains("damaged"), "{error}");
        std::fs::remove_dir_all(folder)?;
        Ok(())
    }
}
