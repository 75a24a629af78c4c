//! OCPP-J 1.6 frames as pure functions: `[2,id,action,payload]`, `[3,id,payload]`, `[4,id,code,description,details]`.

pub use ocpp_types::v16::RpcErrorCode as ErrorCode;
use serde_json::{Map, Value, json};

/// A longer frame closes the connection. The longest of ours, a StopTransaction with its signed reading, has 1.2 kB.
pub const MAX_FRAME_BYTES: usize = 64 * 1024;
/// OCPP-J 1.6, 4.1.4: a message id has at most 36 characters.
const MAX_ID_CHARS: usize = 36;
/// OCPP-J 1.6, 4.2.3: a description has at most 255 characters.
const MAX_DESCRIPTION_CHARS: usize = 255;
/// Id in the answer to a call whose own id cannot be read (the rule that OCPP 2 wrote down).
const UNREADABLE_ID: &str = "-1";
const CALL: u64 = 2;
const RESULT: u64 = 3;
const ERROR: u64 = 4;

/// One frame.
#[derive(Debug, Clone, PartialEq)]
pub enum Frame {
    /// Asks.
    Call {
        /// Message id, unique for its sender and connection.
        id: String,
        /// What is asked.
        action: String,
        /// Its arguments.
        payload: Value,
    },
    /// Answers.
    Result {
        /// Id of the call.
        id: String,
        /// The answer.
        payload: Value,
    },
    /// Answers that the call failed.
    Error {
        /// Id of the call.
        id: String,
        /// Which rule was broken.
        code: ErrorCode,
        /// Words for people.
        description: String,
    },
}

/// A text that is no frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Malformed {
    /// What is wrong with it.
    pub why: &'static str,
    /// What to send back; `None` where the text was an answer itself, for answers are never answered.
    pub answer: Option<Frame>,
}

impl Frame {
    /// An error frame, its description cut to what the specification allows.
    pub fn error(id: &str, code: ErrorCode, description: &str) -> Self {
        let description = description.chars().take(MAX_DESCRIPTION_CHARS).collect();
        Self::Error { id: id.to_owned(), code, description }
    }

    /// The frame as text.
    pub fn encode(&self) -> String {
        match self {
            Self::Call { id, action, payload } => json!([CALL, id, action, payload]),
            Self::Result { id, payload } => json!([RESULT, id, payload]),
            Self::Error { id, code, description } => json!([ERROR, id, code, description, Map::new()]),
        }
        .to_string()
    }

    /// Reads a frame. Error codes that 1.6 does not know become `GenericError`.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let Ok(Value::Array(parts)) = serde_json::from_str(text) else {
            return Err(malformed(None, "expected a JSON array"));
        };
        let id = parts.get(1).and_then(Value::as_str).filter(|id| is_id(id));
        match (parts.first().and_then(Value::as_u64), id) {
            (Some(CALL), Some(id)) => call(id, &parts),
            (Some(RESULT), Some(id)) => match parts.as_slice() {
                [_, _, payload @ Value::Object(_)] => Ok(Self::Result { id: id.into(), payload: payload.clone() }),
                _ => Err(Malformed { why: "expected [3, id, object]", answer: None }),
            },
            (Some(ERROR), Some(id)) => error(id, &parts),
            (Some(RESULT | ERROR), None) => Err(Malformed { why: "answer without a message id", answer: None }),
            (Some(CALL), None) => Err(malformed(None, "expected a message id of 1 to 36 characters")),
            _ => Err(malformed(id, "expected message type 2, 3 or 4")),
        }
    }
}

fn is_id(id: &str) -> bool {
    !id.is_empty() && id.chars().count() <= MAX_ID_CHARS
}

fn malformed(id: Option<&str>, why: &'static str) -> Malformed {
    Malformed { why, answer: Some(Frame::error(id.unwrap_or(UNREADABLE_ID), ErrorCode::FormationViolation, why)) }
}

fn call(id: &str, parts: &[Value]) -> Result<Frame, Malformed> {
    match parts {
        [_, _, Value::String(action), payload @ Value::Object(_)] => {
            Ok(Frame::Call { id: id.into(), action: action.clone(), payload: payload.clone() })
        }
        _ => Err(malformed(Some(id), "expected [2, id, action, object]")),
    }
}

fn error(id: &str, parts: &[Value]) -> Result<Frame, Malformed> {
    match parts {
        // Real charge points leave the details out.
        [_, _, code @ Value::String(_), Value::String(description)]
        | [_, _, code @ Value::String(_), Value::String(description), _] => {
            let code = serde_json::from_value(code.clone()).unwrap_or(ErrorCode::GenericError);
            Ok(Frame::error(id, code, description))
        }
        _ => Err(Malformed { why: "expected [4, id, code, description, details]", answer: None }),
    }
}
