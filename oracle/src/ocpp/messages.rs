//! What a charge point says: its OCPP 1.6 calls by meaning, written by one side and read by the other, and the answers.

use super::frame::ErrorCode;
use super::{StartReply, VENDOR};
use crate::signing::SignedReading;
use ocpp_types::OcppTimestamp;
use ocpp_types::v16::common::{
    BootNotificationResponseStatus, Context, ErrorCode as PointError, Format, IdTagInfo, IdTagInfoStatus, Measurand,
    MeterValueItem, SampledValueItem, SampledValueItemUnit, TransactionDataItem,
};
use ocpp_types::v16::{
    AuthorizeRequest, AuthorizeResponse, BootNotificationRequest, BootNotificationResponse, DataTransferRequest,
    HeartbeatResponse, IdTag, MeterValuesRequest, StartTransactionRequest, StartTransactionResponse,
    StatusNotificationRequest, StopTransactionRequest,
};
use optimizer::device::{Context as Why, Reading};
use optimizer::units::{UnixTime, WattHours};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Seconds between heartbeats that a charge point is asked for. It has ticks to show that it lives.
const HEARTBEAT_S: i64 = 300;

/// Why a message is not taken: the code and the words of a CALLERROR.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// Which rule was broken.
    pub code: ErrorCode,
    /// Words for people.
    pub why: String,
}

impl Refusal {
    pub(super) fn new(code: ErrorCode, why: String) -> Self {
        Self { code, why }
    }

    pub(super) fn form(error: &serde_json::Error) -> Self {
        Self::new(ErrorCode::FormationViolation, error.to_string())
    }

    pub(super) fn value(why: String) -> Self {
        Self::new(ErrorCode::PropertyConstraintViolation, why)
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}: {}", self.code, self.why)
    }
}

impl std::error::Error for Refusal {}

/// A call of a charge point.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// BootNotification.
    Boot {
        /// Who made it.
        vendor: String,
        /// What it is.
        model: String,
    },
    /// Heartbeat.
    Heartbeat,
    /// StatusNotification.
    Status {
        /// Connector; 0 is the whole charge point.
        connector: u32,
        /// OCPP's word.
        status: String,
        /// OCPP's word.
        error: String,
        /// When.
        time: Option<UnixTime>,
    },
    /// Authorize.
    Authorize {
        /// What the driver showed.
        id_tag: String,
    },
    /// StartTransaction.
    Start {
        /// Connector.
        connector: u32,
        /// What the driver showed.
        id_tag: String,
        /// Register at its beginning.
        meter_wh: WattHours,
        /// When.
        time: UnixTime,
    },
    /// MeterValues.
    Meter {
        /// Connector.
        connector: u32,
        /// The transaction the readings belong to.
        transaction_id: Option<i32>,
        /// At least one.
        readings: Vec<SignedReading>,
    },
    /// StopTransaction.
    Stop {
        /// Number of the transaction.
        transaction_id: i32,
        /// OCPP's word.
        reason: String,
        /// Register at its end.
        reading: SignedReading,
    },
    /// DataTransfer. No vendor's data is known here.
    Data,
}

impl Message {
    /// Action and payload.
    pub fn write(&self) -> Result<(&'static str, Value), Refusal> {
        match self {
            Self::Boot { vendor, model } => payload("BootNotification", &boot(vendor, model)?),
            Self::Heartbeat => Ok(("Heartbeat", json!({}))),
            Self::Data => Ok(("DataTransfer", json!({"vendorId": VENDOR}))),
            Self::Status { connector, status, error, time } => {
                payload("StatusNotification", &status_notification(*connector, status, error, *time)?)
            }
            Self::Authorize { id_tag: tag } => payload("Authorize", &AuthorizeRequest { id_tag: id_tag(tag)? }),
            Self::Start { connector, id_tag: tag, meter_wh, time } => payload(
                "StartTransaction",
                &StartTransactionRequest {
                    connector_id: i64::from(*connector),
                    id_tag: id_tag(tag)?,
                    meter_start: meter_wh.0,
                    reservation_id: None,
                    timestamp: timestamp(*time)?,
                },
            ),
            Self::Meter { connector, transaction_id, readings } => payload(
                "MeterValues",
                &MeterValuesRequest {
                    connector_id: i64::from(*connector),
                    meter_value: readings.iter().map(meter_value).collect::<Result<_, _>>()?,
                    transaction_id: transaction_id.map(i64::from),
                },
            ),
            Self::Stop { transaction_id, reason, reading } => {
                payload("StopTransaction", &stop(*transaction_id, reason, reading)?)
            }
        }
    }

    /// Reads a call of a charge point.
    pub fn read(action: &str, payload: Value) -> Result<Self, Refusal> {
        match action {
            "BootNotification" => {
                let request: BootNotificationRequest = typed(payload)?;
                Ok(Self::Boot {
                    vendor: request.charge_point_vendor.as_str().to_owned(),
                    model: request.charge_point_model.as_str().to_owned(),
                })
            }
            "Heartbeat" => Ok(Self::Heartbeat),
            "StatusNotification" => read_status(&typed(payload)?),
            "Authorize" => {
                let request: AuthorizeRequest = typed(payload)?;
                Ok(Self::Authorize { id_tag: request.id_tag.as_str().to_owned() })
            }
            "StartTransaction" => read_start(&typed(payload)?),
            "MeterValues" => read_meter(&typed(payload)?),
            "StopTransaction" => read_stop(&typed(payload)?),
            "DataTransfer" => typed::<DataTransferRequest>(payload).map(|_| Self::Data),
            "DiagnosticsStatusNotification" | "FirmwareStatusNotification" => {
                Err(Refusal::new(ErrorCode::NotSupported, format!("{action}: not supported")))
            }
            _ => Err(Refusal::new(ErrorCode::NotImplemented, format!("{action}: unknown action"))),
        }
    }
}

/// Answer to BootNotification.
pub(super) fn boot_answer(now: UnixTime) -> Result<Value, Refusal> {
    value(&BootNotificationResponse {
        current_time: timestamp(now)?,
        interval: HEARTBEAT_S,
        status: BootNotificationResponseStatus::Accepted,
    })
}

/// Answer to Heartbeat.
pub(super) fn heartbeat_answer(now: UnixTime) -> Result<Value, Refusal> {
    value(&HeartbeatResponse { current_time: timestamp(now)? })
}

/// Answer to Authorize.
pub(super) fn authorize_answer(accepted: bool) -> Result<Value, Refusal> {
    value(&AuthorizeResponse { id_tag_info: tag_info(accepted) })
}

/// Answer to StartTransaction.
pub(super) fn start_answer(answer: StartReply) -> Result<Value, Refusal> {
    value(&StartTransactionResponse {
        id_tag_info: tag_info(answer.accepted),
        transaction_id: i64::from(answer.transaction_id),
    })
}

/// Whether the answer to an Authorize says yes.
pub fn read_authorize_answer(payload: Value) -> Result<bool, Refusal> {
    let answer: AuthorizeResponse = typed(payload)?;
    Ok(answer.id_tag_info.status == IdTagInfoStatus::Accepted)
}

/// What the answer to a StartTransaction says.
pub fn read_start_answer(payload: Value) -> Result<StartReply, Refusal> {
    let answer: StartTransactionResponse = typed(payload)?;
    Ok(StartReply {
        transaction_id: transaction(answer.transaction_id)?,
        accepted: answer.id_tag_info.status == IdTagInfoStatus::Accepted,
    })
}

/// Whether an answer's `status` is `Accepted`.
pub fn is_accepted(payload: &Value) -> bool {
    payload.get("status").and_then(Value::as_str) == Some("Accepted")
}

fn typed<T: DeserializeOwned>(payload: Value) -> Result<T, Refusal> {
    serde_json::from_value(payload).map_err(|e| Refusal::form(&e))
}

fn value(payload: &impl Serialize) -> Result<Value, Refusal> {
    serde_json::to_value(payload).map_err(|e| Refusal::form(&e))
}

pub(super) fn payload(action: &'static str, payload: &impl Serialize) -> Result<(&'static str, Value), Refusal> {
    Ok((action, value(payload)?))
}

/// A bounded string of the message types.
pub(super) fn text<'a, T: TryFrom<&'a str>>(text: &'a str) -> Result<T, Refusal> {
    T::try_from(text).map_err(|_| Refusal::value(format!("{text}: too long")))
}

pub(super) fn id_tag(tag: &str) -> Result<IdTag, Refusal> {
    IdTag::try_from(tag).map_err(|()| Refusal::value("idTag: longer than 20 characters".into()))
}

pub(super) fn timestamp(time: UnixTime) -> Result<OcppTimestamp, Refusal> {
    OcppTimestamp::from_unix(time.0, 0).map_err(|_| Refusal::value(format!("{time}: no time")))
}

pub(super) fn transaction(id: i64) -> Result<i32, Refusal> {
    i32::try_from(id).map_err(|_| Refusal::value(format!("transactionId {id}: out of range")))
}

/// A connector that an asset can stand at.
pub(super) fn connector(id: i64) -> Result<u32, Refusal> {
    u32::try_from(id)
        .ok()
        .filter(|id| *id > 0)
        .ok_or_else(|| Refusal::value(format!("connectorId {id}: expected at least 1")))
}

fn tag_info(accepted: bool) -> IdTagInfo {
    let status = if accepted { IdTagInfoStatus::Accepted } else { IdTagInfoStatus::Invalid };
    IdTagInfo { expiry_date: None, parent_id_tag: None, status }
}

fn boot(vendor: &str, model: &str) -> Result<BootNotificationRequest, Refusal> {
    Ok(BootNotificationRequest {
        charge_box_serial_number: None,
        charge_point_model: text(model)?,
        charge_point_serial_number: None,
        charge_point_vendor: text(vendor)?,
        firmware_version: None,
        iccid: None,
        imsi: None,
        meter_serial_number: None,
        meter_type: None,
    })
}

fn status_notification(
    connector: u32,
    status: &str,
    error: &str,
    time: Option<UnixTime>,
) -> Result<StatusNotificationRequest, Refusal> {
    Ok(StatusNotificationRequest {
        connector_id: i64::from(connector),
        error_code: typed::<PointError>(json!(error))?,
        info: None,
        status: typed(json!(status))?,
        timestamp: time.map(timestamp).transpose()?,
        vendor_error_code: None,
        vendor_id: None,
    })
}

fn read_status(request: &StatusNotificationRequest) -> Result<Message, Refusal> {
    let word = |value: Value| value.as_str().unwrap_or_default().to_owned();
    Ok(Message::Status {
        connector: u32::try_from(request.connector_id)
            .map_err(|_| Refusal::value(format!("connectorId {}: out of range", request.connector_id)))?,
        status: word(value(&request.status)?),
        error: word(value(&request.error_code)?),
        time: request.timestamp.map(|t| UnixTime(t.unix_seconds())),
    })
}

fn read_start(request: &StartTransactionRequest) -> Result<Message, Refusal> {
    Ok(Message::Start {
        connector: connector(request.connector_id)?,
        id_tag: request.id_tag.as_str().to_owned(),
        meter_wh: WattHours(request.meter_start),
        time: UnixTime(request.timestamp.unix_seconds()),
    })
}

fn read_meter(request: &MeterValuesRequest) -> Result<Message, Refusal> {
    let readings: Vec<_> =
        request.meter_value.iter().map(|v| signed_reading(v.timestamp, &v.sampled_value)).collect::<Result<_, _>>()?;
    if readings.is_empty() {
        return Err(Refusal::new(ErrorCode::OccurenceConstraintViolation, "meterValue: expected at least one".into()));
    }
    let transaction_id = request.transaction_id.map(transaction).transpose()?;
    Ok(Message::Meter { connector: connector(request.connector_id)?, transaction_id, readings })
}

fn stop(transaction_id: i32, reason: &str, signed: &SignedReading) -> Result<StopTransactionRequest, Refusal> {
    let MeterValueItem { sampled_value, timestamp } = meter_value(signed)?;
    Ok(StopTransactionRequest {
        id_tag: None,
        meter_stop: signed.reading.import_wh.0,
        reason: Some(typed(json!(reason))?),
        timestamp,
        transaction_data: Some(vec![TransactionDataItem { sampled_value, timestamp }]),
        transaction_id: i64::from(transaction_id),
    })
}

fn read_stop(request: &StopTransactionRequest) -> Result<Message, Refusal> {
    let readings: Vec<_> = request
        .transaction_data
        .iter()
        .flatten()
        .map(|v| signed_reading(v.timestamp, &v.sampled_value))
        .collect::<Result<_, _>>()?;
    let reading = readings
        .into_iter()
        .find(|r| r.reading.context == Why::End)
        .ok_or_else(|| Refusal::value("transactionData: expected a signed reading of Transaction.End".into()))?;
    if reading.reading.import_wh.0 != request.meter_stop || reading.reading.time.0 != request.timestamp.unix_seconds() {
        return Err(Refusal::value("meterStop or timestamp differs from the signed reading".into()));
    }
    // OCPP 1.6, 6.45: a missing reason means Local.
    let reason = request.reason.as_ref().map(value).transpose()?;
    let reason = reason.as_ref().and_then(Value::as_str).unwrap_or("Local").to_owned();
    Ok(Message::Stop { transaction_id: transaction(request.transaction_id)?, reason, reading })
}

fn wire_context(reading: &Reading) -> Context {
    match reading.context {
        Why::Interval => Context::SampleClock,
        Why::Begin => Context::TransactionBegin,
        Why::End => Context::TransactionEnd,
    }
}

/// The signed reading, and the plain register beside it for whoever cannot read the first.
fn meter_value(signed: &SignedReading) -> Result<MeterValueItem, Refusal> {
    let json = serde_json::to_string(signed).map_err(|e| Refusal::form(&e))?;
    let sample = |format, value| SampledValueItem {
        context: Some(wire_context(&signed.reading)),
        format: Some(format),
        location: None,
        measurand: Some(Measurand::EnergyActiveImportRegister),
        phase: None,
        unit: Some(SampledValueItemUnit::Wh),
        value,
    };
    Ok(MeterValueItem {
        sampled_value: vec![
            sample(Format::SignedData, json),
            sample(Format::Raw, signed.reading.import_wh.to_string()),
        ],
        timestamp: timestamp(signed.reading.time)?,
    })
}

/// The signed reading among the samples, if the plain ones agree with it.
fn signed_reading(timestamp: OcppTimestamp, samples: &[SampledValueItem]) -> Result<SignedReading, Refusal> {
    let [sample] = samples.iter().filter(|s| s.format == Some(Format::SignedData)).collect::<Vec<_>>()[..] else {
        return Err(Refusal::value("expected one value of format SignedData".into()));
    };
    let signed: SignedReading = serde_json::from_str(&sample.value)
        .map_err(|e| Refusal::value(format!("SignedData: expected a signed reading: {e}")))?;
    let plain = samples.iter().find(|s| is_plain_register(s)).map(|s| s.value.as_str());
    if plain != Some(signed.reading.import_wh.to_string().as_str()) {
        return Err(Refusal::value("the plain register differs from the signed one, or is missing".into()));
    }
    if signed.reading.time.0 != timestamp.unix_seconds() {
        return Err(Refusal::value("the timestamp differs from the signed one".into()));
    }
    if sample.context.as_ref() != Some(&wire_context(&signed.reading)) {
        return Err(Refusal::value("the context differs from the signed one".into()));
    }
    Ok(signed)
}

/// Omitted fields mean: Raw, Energy.Active.Import.Register, Wh (OCPP 1.6, 7.43).
fn is_plain_register(sample: &SampledValueItem) -> bool {
    matches!(sample.format, None | Some(Format::Raw))
        && matches!(sample.measurand, None | Some(Measurand::EnergyActiveImportRegister))
        && matches!(sample.unit, None | Some(SampledValueItemUnit::Wh))
}
