//! Real data as the forecasters take it.

use crate::field::field;
use chrono_tz::Tz;
use optimizer::import;
use optimizer::session::PastSession;
use optimizer::units::{UnixTime, WattHours};
use std::io::Read;

pub(crate) const LOS_ANGELES: Tz = Tz::America__Los_Angeles;

/// The text of a file of real data, where it is at hand.
pub(crate) fn text(file: &str) -> Option<String> {
    let bytes = field(file)?;
    let mut text = String::new();
    if file.ends_with(".gz") {
        flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
    } else {
        text = String::from_utf8(bytes).unwrap();
    }
    Some(text)
}

/// A recorded session and where it was.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    pub(crate) station: String,
    pub(crate) past: PastSession,
}

/// Sessions in the order of their arrival.
fn recorded(file: &str, text: &str, mapping: &str) -> Vec<Recorded> {
    let sessions = import::csv(file, text.as_bytes(), &mapping.parse().unwrap()).unwrap();
    let time = |time: chrono::DateTime<chrono::FixedOffset>| UnixTime(time.timestamp());
    let session = |session: import::FieldSession| {
        // Who declared nothing has what came in the place of what was declared.
        let declared = session.declared_departure.filter(|declared| *declared != session.departure);
        let past = PastSession {
            site: "site".to_owned(),
            driver: session.driver.unwrap_or_default(),
            arrival: time(session.arrival),
            unplugged: time(session.departure),
            departure: declared.map(time).filter(|departure| departure.0 > session.arrival.timestamp()),
            energy_wh: session.requested_wh.filter(|wh| declared.is_some() && *wh > WattHours::ZERO),
            delivered_wh: session.delivered_wh,
        };
        Recorded { station: session.station, past }
    };
    let mut sessions: Vec<_> = sessions.sessions.into_iter().map(session).collect();
    sessions.sort_by_key(|session| (session.past.arrival, session.past.unplugged));
    sessions
}

/// Sessions of ACN-Data with what was declared; drivers are not named.
pub(crate) fn acn(names: &[&str]) -> Option<Vec<Recorded>> {
    let mut all = Vec::new();
    for name in names {
        all.extend(recorded(name, &text(&format!("acn_sessions/{name}.csv.gz"))?, "acn-csv"));
    }
    Some(all)
}

/// Sessions of named drivers at 25 workplaces; nothing was declared.
pub(crate) fn workplaces() -> Option<Vec<Recorded>> {
    let name = "workplace_us/station_data_dataverse.csv";
    // Years lack their century.
    let text = text(name)?.replace(",0014-", ",2014-").replace(",0015-", ",2015-");
    let mapping = "id=sessionId,station=stationId,driver=userId,arrival=created,departure=ended,\
                   delivered_kwh=kwhTotal,zone=America/New_York";
    Some(recorded(name, &text, mapping))
}
