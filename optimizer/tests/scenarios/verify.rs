//! `optimizer verify`: what it prints and how it ends.

use optimizer::certificate;
use optimizer::problem::{GroupLimit, Need, Problem};
use optimizer::schedule::Schedule;
use optimizer::solve::{Planner, solve};
use optimizer::units::{Micro, MicroPerKwh, WattHours, Watts};
use std::path::PathBuf;
use std::process::Command;

fn problem() -> Problem {
    let need = Need {
        session: "s1".to_owned(),
        until: 2,
        max_w: Watts(4_000),
        energy_wh: WattHours(2_500),
        ..Need::default()
    };
    Problem {
        site: "site".to_owned(),
        horizon: 3,
        lanes: 1,
        groups: vec![GroupLimit { import_w: Watts(10_000), ..GroupLimit::default() }],
        needs: vec![need],
        import_price: [300_000, 100_000, 50_000].map(MicroPerKwh).to_vec(),
        feed_in_price: vec![MicroPerKwh(0); 3],
        shortfall_penalty: MicroPerKwh(2_000_000),
        ..Problem::default()
    }
}

/// A folder of its own for each test, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("provolt-verify-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Exit code, standard output and standard error.
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_optimizer")).arg("verify").args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_good_schedule_is_counted_anew() {
    let folder = Folder::new("good");
    let schedule = solve(&problem(), 10_000).unwrap();
    let files = [
        folder.write("problem.json", &serde_json::to_string(&problem()).unwrap()),
        folder.write("schedule.json", &serde_json::to_string(&schedule).unwrap()),
    ];
    let (code, out, err) = run(&[&files[0], &files[1]]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    // 2 kWh fit the stay: one at 0.3, one at 0.1.
    assert_eq!(out, "site: cost 400000, peak 4000 W (Optimal)\ns1: 500 Wh short\n");
    let (code, out, _) = run(&[&files[0], &files[1], "--json"]);
    let found: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &found["violations"]), (Some(0), &serde_json::json!([])));
    let recomputed = serde_json::json!({ "cost": 400_000, "peak_w": 4_000, "shortfall_wh": { "s1": 500 } });
    assert_eq!((&found["recomputed"], &found["status"]), (&recomputed, &serde_json::json!("Optimal")));
}

#[test]
fn a_bad_schedule_is_refused_with_everything_that_it_breaks() {
    let folder = Folder::new("bad");
    let good = solve(&problem(), 10_000).unwrap();
    let mut bad = Schedule { cost: Micro(1), ..good.clone() };
    bad.power_w[0] = [12_000, 0, 100].map(Watts).to_vec();
    let file = folder.write("problem.json", &serde_json::to_string(&problem()).unwrap());
    let schedule = folder.write("schedule.json", &serde_json::to_string(&bad).unwrap());
    let (code, out, err) = run(&[&file, &schedule]);
    assert_eq!(code, Some(1));
    for said in ["12000 W is above its maximum", "nobody is there", "above 10000 W", "the cost is 901250, not 1"] {
        assert!(out.contains(said), "{out}");
    }
    assert!(out.contains("site: cost 901250, peak 12000 W"), "what it comes to is said all the same: {out}");
    assert!(err.contains("violations"), "{err}");
    let shapeless = Schedule { power_w: Vec::new(), ..good };
    let schedule = folder.write("schedule.json", &serde_json::to_string(&shapeless).unwrap());
    let (code, out, _) = run(&[&file, &schedule, "--json"]);
    let found: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &found["recomputed"]), (Some(1), &serde_json::Value::Null));
}

#[test]
fn files_that_are_none_are_named() {
    let folder = Folder::new("none");
    let file = folder.write("problem.json", &serde_json::to_string(&problem()).unwrap());
    let (code, _, err) = run(&[&file, "nowhere.json"]);
    assert_eq!((code, err.contains("nowhere.json: cannot read")), (Some(1), true), "{err}");
    let (code, _, err) = run(&[&file, &file]);
    assert_eq!((code, err.contains("problem.json: no schedule: missing field `power_w`")), (Some(1), true), "{err}");
    let invalid = Problem { lanes: 0, ..problem() };
    let invalid = folder.write("invalid.json", &serde_json::to_string(&invalid).unwrap());
    let (code, _, err) = run(&[&invalid, &file]);
    assert_eq!(
        (code, err.contains("invalid.json: the problem is not valid: session s1: lane 0")),
        (Some(1), true),
        "{err}"
    );
}

#[test]
fn a_certificate_is_checked_with_its_schedule_and_without() {
    let folder = Folder::new("certificate");
    let (schedule, certificate) = certificate::plan(&mut Planner::new(), &problem(), 10_000).unwrap();
    let certificate = serde_json::to_value(certificate.unwrap()).unwrap();
    let both = serde_json::json!({ "schedule": schedule, "certificate": certificate });
    let file = folder.write("problem.json", &serde_json::to_string(&problem()).unwrap());
    let verify = |answer: &serde_json::Value, options: &[&str]| {
        let answer = folder.write("answer.json", &answer.to_string());
        run(&[&[file.as_str(), &answer], options].concat())
    };
    let (code, out, err) = verify(&both, &[]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    // 0.4 for two kWh, and 1.0 for the half that does not fit.
    let said = "certificate: costs 1400000 in all, no schedule costs less than 1400000\n";
    assert!(out.starts_with("site: cost 400000") && out.ends_with(said), "{out}");
    assert_eq!(verify(&certificate, &[]), (Some(0), said.to_owned(), String::new()));
    let (_, out, _) = verify(&certificate, &["--json"]);
    let found: serde_json::Value = serde_json::from_str(&out).unwrap();
    let proven = serde_json::json!({ "cost_micro": "1400000", "gap_micro": "0",
        "cost": certificate["cost"], "bound": certificate["bound"] });
    assert_eq!((&found["certificate"], &found["status"]), (&proven, &serde_json::Value::Null));
    let changes = [
        ("cost", "1", "its cost is 1, its bytes prove"),
        ("inputs", "0x00", "its inputs are not this problem"),
        ("schedule", "0x0000", "its powers are not this schedule"),
        ("multipliers", "0x00", "the certificate is refused"),
        ("multipliers", "0xé0", "its multipliers is no hex"),
    ];
    for (field, value, said) in changes {
        let mut changed = both.clone();
        changed["certificate"][field] = value.into();
        let (code, out, err) = verify(&changed, &["--json"]);
        let found: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert!(found["certificate"]["refused"].is_string(), "{out}");
        assert_eq!((code, err.contains(said)), (Some(1), true), "{field}: {err}");
    }
}
