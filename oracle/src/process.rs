//! Processes: when to end this one, and how to end those that a run started.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Returns on Ctrl-C or SIGTERM.
pub async fn told_to_stop() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        // Without the handler SIGTERM ends the process all the same, only less politely.
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    // Where no handler can be had, the signal ends the process by itself.
    let _ = tokio::signal::ctrl_c().await;
}

/// Ends a process that this or an earlier run started as `program`. Where the system can tell, a process of the same id
/// that is something else is left alone.
pub fn end(pid: u32, program: &str) -> Result<()> {
    let command_line = PathBuf::from(format!("/proc/{pid}/cmdline"));
    if Path::new("/proc/self").exists() {
        match std::fs::read(&command_line) {
            Ok(line) if String::from_utf8_lossy(&line).contains(program) => {}
            _ => return Ok(()),
        }
    }
    let status = Command::new("kill").arg(pid.to_string()).stderr(Stdio::null()).status().context("kill")?;
    // It may have ended by itself between the two lines.
    if !status.success() && command_line.exists() {
        bail!("{program} (process {pid}) cannot be ended");
    }
    Ok(())
}
