//! What the oracle orders: its OCPP 1.6 calls by meaning, written by one side and read by the other.

use super::VENDOR;
use super::frame::ErrorCode;
use super::messages::{Refusal, payload, text, timestamp};
use ocpp_types::v16::common::{
    ChargingProfileKind, ChargingProfilePurpose, ChargingRateUnit, ChargingSchedule, ChargingSchedulePeriodItem,
    CsChargingProfiles,
};
use ocpp_types::v16::{
    DataTransferRequest, RemoteStartTransactionRequest, RemoteStopTransactionRequest, SetChargingProfileRequest,
};
use optimizer::device;
use optimizer::units::{INTERVAL_S, POWER_MAX_W, UnixTime, Watts};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An order to a charge point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Move on to this scenario time, and answer when everything that happened until then is acknowledged.
    Tick {
        /// The time.
        time: UnixTime,
    },
    /// Hold this power at an EVSE: SetChargingProfile.
    Power {
        /// Connector.
        connector: u32,
        /// How much, and when; not negative.
        command: device::Command,
    },
    /// Hold this power, which may feed the site: DataTransfer, for OCPP 1.6 has no negative limit.
    PowerSigned {
        /// Connector.
        connector: u32,
        /// How much, and when.
        command: device::Command,
    },
    /// Power that may flow at an EVSE without an order, and so when the link is lost: a TxDefaultProfile.
    Safe {
        /// Connector.
        connector: u32,
        /// Not negative.
        power_w: Watts,
    },
    /// The same for an asset that may feed the site.
    SafeSigned {
        /// Connector.
        connector: u32,
        /// Power.
        power_w: Watts,
    },
    /// End a transaction.
    Stop {
        /// Its number.
        transaction_id: i32,
    },
    /// Begin a transaction.
    Start {
        /// Connector.
        connector: u32,
        /// In whose name.
        id_tag: String,
    },
}

#[derive(Serialize, Deserialize)]
struct TickData {
    time: UnixTime,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PowerData {
    connector_id: u32,
    from: UnixTime,
    until: UnixTime,
    power_w: Watts,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SafeData {
    connector_id: u32,
    power_w: Watts,
}

impl Command {
    /// Action and payload.
    pub fn write(&self) -> Result<(&'static str, Value), Refusal> {
        match self {
            Self::Tick { time } => transfer("Tick", &TickData { time: *time }),
            Self::PowerSigned { connector, command } => {
                let device::Command { from, until, power_w } = *command;
                transfer("SetPower", &PowerData { connector_id: *connector, from, until, power_w })
            }
            Self::SafeSigned { connector, power_w } => {
                transfer("SetSafe", &SafeData { connector_id: *connector, power_w: *power_w })
            }
            Self::Power { connector, command } => payload("SetChargingProfile", &order_profile(*connector, command)?),
            Self::Safe { connector, power_w } => payload("SetChargingProfile", &safe_profile(*connector, *power_w)?),
            Self::Stop { transaction_id } => payload(
                "RemoteStopTransaction",
                &RemoteStopTransactionRequest { transaction_id: i64::from(*transaction_id) },
            ),
            Self::Start { connector, id_tag } => payload(
                "RemoteStartTransaction",
                &RemoteStartTransactionRequest {
                    charging_profile: None,
                    connector_id: Some(i64::from(*connector)),
                    id_tag: super::messages::id_tag(id_tag)?,
                },
            ),
        }
    }

    /// Reads a call of the oracle.
    pub fn read(action: &str, payload: Value) -> Result<Self, Refusal> {
        let form = |e: serde_json::Error| Refusal::form(&e);
        match action {
            "DataTransfer" => read_transfer(&serde_json::from_value(payload).map_err(form)?),
            "SetChargingProfile" => read_profile(&serde_json::from_value(payload).map_err(form)?),
            "RemoteStopTransaction" => {
                let request: RemoteStopTransactionRequest = serde_json::from_value(payload).map_err(form)?;
                Ok(Self::Stop { transaction_id: super::messages::transaction(request.transaction_id)? })
            }
            "RemoteStartTransaction" => {
                let request: RemoteStartTransactionRequest = serde_json::from_value(payload).map_err(form)?;
                let connector = super::messages::connector(request.connector_id.unwrap_or_default())?;
                Ok(Self::Start { connector, id_tag: request.id_tag.as_str().to_owned() })
            }
            _ => Err(Refusal::new(ErrorCode::NotImplemented, format!("{action}: unknown action"))),
        }
    }
}

fn transfer(message_id: &str, data: &impl Serialize) -> Result<(&'static str, Value), Refusal> {
    let data = serde_json::to_string(data).map_err(|e| Refusal::form(&e))?;
    let request =
        DataTransferRequest { data: Some(data), message_id: Some(text(message_id)?), vendor_id: text(VENDOR)? };
    payload("DataTransfer", &request)
}

fn read_transfer(request: &DataTransferRequest) -> Result<Command, Refusal> {
    if request.vendor_id.as_str() != VENDOR {
        return Err(Refusal::new(ErrorCode::NotSupported, format!("{}: unknown vendor", request.vendor_id)));
    }
    let data = request.data.as_deref().unwrap_or_default();
    let form = |e: serde_json::Error| Refusal::form(&e);
    match request.message_id.as_deref() {
        Some("Tick") => {
            let TickData { time } = serde_json::from_str(data).map_err(form)?;
            Ok(Command::Tick { time })
        }
        Some("SetPower") => {
            let PowerData { connector_id, from, until, power_w } = serde_json::from_str(data).map_err(form)?;
            Ok(Command::PowerSigned { connector: connector_id, command: device::Command { from, until, power_w } })
        }
        Some("SetSafe") => {
            let SafeData { connector_id, power_w } = serde_json::from_str(data).map_err(form)?;
            Ok(Command::SafeSigned { connector: connector_id, power_w })
        }
        _ => Err(Refusal::new(ErrorCode::NotSupported, "unknown messageId".into())),
    }
}

/// The order for one interval. Of profiles with one purpose and stack level a connector keeps the last only, and the
/// order for the next interval is sent while the present one still runs: so intervals take turns in two levels.
fn order_profile(connector: u32, command: &device::Command) -> Result<SetChargingProfileRequest, Refusal> {
    let level = command.from.0.div_euclid(INTERVAL_S).rem_euclid(2);
    let schedule = ChargingSchedule {
        duration: Some(command.until.0 - command.from.0),
        start_schedule: Some(timestamp(command.from)?),
        ..schedule(command.power_w)?
    };
    Ok(request(connector, ChargingProfilePurpose::TxProfile, ChargingProfileKind::Absolute, level, schedule))
}

fn safe_profile(connector: u32, power_w: Watts) -> Result<SetChargingProfileRequest, Refusal> {
    let schedule = schedule(power_w)?;
    Ok(request(connector, ChargingProfilePurpose::TxDefaultProfile, ChargingProfileKind::Relative, 0, schedule))
}

fn schedule(power_w: Watts) -> Result<ChargingSchedule, Refusal> {
    if !(0..=POWER_MAX_W).contains(&power_w.0) {
        return Err(Refusal::value(format!("{power_w} W: expected 0 to {POWER_MAX_W} W")));
    }
    // Exact: 19 bits fit a float.
    let limit = power_w.0 as f64;
    Ok(ChargingSchedule {
        charging_rate_unit: ChargingRateUnit::W,
        charging_schedule_period: vec![ChargingSchedulePeriodItem { limit, number_phases: None, start_period: 0 }],
        duration: None,
        min_charging_rate: None,
        start_schedule: None,
    })
}

fn request(
    connector: u32,
    purpose: ChargingProfilePurpose,
    kind: ChargingProfileKind,
    level: i64,
    schedule: ChargingSchedule,
) -> SetChargingProfileRequest {
    // Ids are unique on a charge point: three per connector.
    let kind_id = if purpose == ChargingProfilePurpose::TxProfile { 1 + level } else { 0 };
    SetChargingProfileRequest {
        connector_id: i64::from(connector),
        cs_charging_profiles: CsChargingProfiles {
            charging_profile_id: i64::from(connector) * 3 + kind_id,
            charging_profile_kind: kind,
            charging_profile_purpose: purpose,
            charging_schedule: schedule,
            recurrency_kind: None,
            stack_level: level,
            transaction_id: None,
            valid_from: None,
            valid_to: None,
        },
    }
}

fn read_profile(request: &SetChargingProfileRequest) -> Result<Command, Refusal> {
    let connector = super::messages::connector(request.connector_id)?;
    let profile = &request.cs_charging_profiles;
    let schedule = &profile.charging_schedule;
    let [period] = schedule.charging_schedule_period.as_slice() else {
        return Err(Refusal::value("expected one schedule period".into()));
    };
    if schedule.charging_rate_unit != ChargingRateUnit::W || period.start_period != 0 {
        return Err(Refusal::value("expected W from second 0".into()));
    }
    let power_w = Watts(period.limit.clamp(0.0, POWER_MAX_W as f64) as i64);
    match (&profile.charging_profile_purpose, schedule.start_schedule, schedule.duration) {
        (ChargingProfilePurpose::TxDefaultProfile, None, None) => Ok(Command::Safe { connector, power_w }),
        (ChargingProfilePurpose::TxProfile, Some(start), Some(duration)) => {
            let from = UnixTime(start.unix_seconds());
            let until = UnixTime(from.0.saturating_add(duration));
            Ok(Command::Power { connector, command: device::Command { from, until, power_w } })
        }
        _ => Err(Refusal::value("expected a TxProfile with start and duration, or a TxDefaultProfile without".into())),
    }
}
