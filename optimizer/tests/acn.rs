//! An independent simulator drives the planner: ACN-Sim with its constraint matrix, batteries and pilots.
#![allow(clippy::disallowed_methods, reason = "where Python with acnportal is, the environment says")]

use std::process::Command;

/// Runs the example; `None` where acnportal is not installed. `PROVOLT_ACN_PYTHON` names a Python that has it.
fn driven(options: &[&str]) -> Option<serde_json::Value> {
    let python = std::env::var("PROVOLT_ACN_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let has = Command::new(&python).args(["-c", "import acnportal"]).output();
    if !has.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: {python} has no acnportal; set PROVOLT_ACN_PYTHON to a Python with acnportal 0.3.3");
        return None;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/acn/drive.py");
    let serve = concat!(env!("CARGO_BIN_EXE_optimizer"), " serve");
    let output = Command::new(&python).arg(script).arg(serve).args(options).output().expect("python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).expect("an answer is JSON"))
}

#[test]
fn acn_sim_finds_every_period_feasible() {
    for (options, met_at_least) in [(&[][..], 80.0), (&["--discrete"], 60.0), (&["--cap-kw", "20", "--discrete"], 0.0)]
    {
        let Some(found) = driven(options) else { return };
        assert_eq!(found["feasible"], true, "{found}");
        assert!(found["delivered_kwh"].as_f64().unwrap_or(0.0) > 100.0, "{found}");
        assert!(found["sessions_met_pct"].as_f64().unwrap_or(0.0) >= met_at_least, "{found}");
    }
}
