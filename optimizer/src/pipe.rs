//! What both programs make of an output that nobody reads any more.

/// Whether `error` says that whoever reads our output has stopped reading, as `head` does: no error of ours.
pub fn is_closed(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let of_json = cause.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind);
        let kind = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind).or(of_json);
        kind == Some(std::io::ErrorKind::BrokenPipe)
    })
}
