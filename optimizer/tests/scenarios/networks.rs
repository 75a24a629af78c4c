//! Topologies in ACN-Sim's form.

use crate::field::field;
use optimizer::check::check;
use optimizer::import::{self, Topology};
use optimizer::problem::{Need, Problem};
use optimizer::solve::solve;
use optimizer::units::{MicroPerKwh, WattHours, Watts};

/// Two stations on one phase pair at 208 V, one on another at 240 V, behind one line and a weaker one for the last two.
const OWN: &str = r#"{"stations": [
    {"id": "A", "voltage": 208.0, "phase_angle_deg": 30.0, "min_pilot_a": 6.0, "max_pilot_a": 32.0, "continuous": false,
     "allowable_pilots_a": [0.0, 6.0, 16.0, 32.0]},
    {"id": "B", "voltage": 208, "phase_angle_deg": 30, "min_pilot_a": 6, "max_pilot_a": 32, "continuous": true},
    {"id": "C", "voltage": 240, "phase_angle_deg": -90, "min_pilot_a": 6, "max_pilot_a": 32, "continuous": true,
     "allowable_pilots_a": null}],
    "constraint_ids": ["main", "pod"], "constraint_limits_a": [50.5, 20],
    "constraint_matrix": [[1, 1, -1.0], [0, 0, 0.25]]}"#;

fn own() -> Topology {
    import::topology("own.json", OWN.as_bytes()).unwrap()
}

/// Every station wants all that it can get in one interval.
fn full(topology: &Topology) -> Problem {
    let classes = topology.classes().unwrap();
    let need = |(lane, station): (usize, &import::Station)| Need {
        session: station.id.clone(),
        lane,
        group: classes.group_of[lane],
        until: 1,
        max_w: station.power_w(station.max_ma),
        energy_wh: WattHours(10_000),
        ..Need::default()
    };
    Problem {
        site: "topology".to_owned(),
        horizon: 1,
        lanes: topology.stations.len(),
        needs: topology.stations.iter().enumerate().map(need).collect(),
        groups: classes.groups,
        rows: classes.rows,
        import_price: vec![MicroPerKwh(100_000)],
        feed_in_price: vec![MicroPerKwh(0)],
        shortfall_penalty: MicroPerKwh(1_000_000),
        ..Problem::default()
    }
}

/// The largest of all lines' currents as shares of their limits, for powers by station: floats, and no code of ours.
fn most_loaded(topology: &Topology, power_w: &[Watts]) -> f64 {
    let share = |line: &optimizer::rows::Line| {
        let each = topology.stations.iter().zip(&line.coefficient_micro).zip(power_w);
        let (mut re, mut im) = (0.0, 0.0);
        for ((station, coefficient), power) in each {
            let ampere = power.0 as f64 / (station.connection.voltage_mv as f64 / 1e3) * *coefficient as f64 / 1e6;
            let angle = (station.connection.angle_mdeg as f64 / 1e3).to_radians();
            (re, im) = (re + ampere * angle.cos(), im + ampere * angle.sin());
        }
        f64::hypot(re, im) / (line.limit_ma as f64 / 1e3)
    };
    topology.lines.iter().map(share).fold(0.0, f64::max)
}

#[test]
fn stations_of_the_same_place_form_a_class() {
    let topology = own();
    let (a, b) = (&topology.stations[0], &topology.stations[1]);
    assert_eq!((a.pilots_ma.as_slice(), b.pilots_ma.as_slice()), ([6_000, 16_000, 32_000].as_slice(), [].as_slice()));
    assert_eq!(a.pilots_w(), [1_240, 3_320, 6_650].map(Watts), "6 A at 208 V are 1,248 W");
    let classes = topology.classes().unwrap();
    assert_eq!(classes.group_of, [2, 2, 1]);
    assert_eq!(classes.groups.iter().map(|group| group.parent).collect::<Vec<_>>(), [None, Some(0), Some(0)]);
    // The pod's line has one class, so it is one row: 0.25 · 208/240 of C's power within 20 A · 208 V.
    let pod = classes.rows.last().unwrap();
    assert_eq!((pod.name.as_str(), pod.terms.len(), pod.terms[0].coefficient), ("pod", 1, 216_666));
    assert_eq!(pod.at_most, [4_160 * 1_000_000]);
}

#[test]
fn a_plan_loads_the_lines_and_never_too_much() {
    let topology = own();
    let problem = full(&topology);
    let plan = solve(&problem, 60_000).unwrap();
    assert_eq!(check(&problem, &plan), []);
    let most = most_loaded(&topology, &plan.column(0));
    assert!((0.99..=1.0).contains(&most), "{most}");
}

#[test]
fn faults_are_named() {
    for (from, to, said) in [
        ("\"id\": \"B\"", "\"id\": \"A\"", "own.json: stations[1].id: found \"A\", expected an id that no other"),
        ("240", "0", "own.json: stations[2].voltage: found \"0\""),
        ("32.0, \"cont", "-1, \"cont", "stations[0].max_pilot_a: found \"-1\""),
        ("16.0, 32.0]", "32, 16]", "stations[0].allowable_pilots_a: found \"\", expected rising"),
        ("[50.5, 20]", "[50.5]", "own.json: constraint_limits_a: found \"1\", expected as many as constraint_ids: 2"),
        ("[50.5, 20]", "[50.5, -20]", "own.json: constraint_limits_a[1]: found \"-20\""),
        ("[0, 0, 0.25]", "[0, 0.25]", "own.json: constraint_matrix[1]: found \"2\", expected as many as stations: 3"),
        ("[0, 0, 0.25]", "[0, 0, 1e99]", "own.json: constraint_matrix[1]: found \"1e+99\""),
        ("\"continuous\": true,", "\"continuous\": 1,", "own.json:5: expected a topology with stations"),
        ("\"constraint_ids\"", "\"ids\"", "own.json:8: expected a topology"),
    ] {
        assert!(OWN.contains(from));
        let error = import::topology("own.json", OWN.replacen(from, to, 1).as_bytes()).unwrap_err().to_string();
        assert!(error.contains(said), "{error}\ndoes not say {said:?}");
    }
}

#[test]
fn real_sites() {
    for (name, stations, lines, classes) in [("caltech", 54, 8, 5), ("jpl", 52, 24, 14), ("office001", 8, 6, 3)] {
        let Some(bytes) = field(&format!("topology/{name}_acn.json")) else { return };
        let topology = import::topology(name, &bytes).unwrap();
        let found = (topology.stations.len(), topology.lines.len(), topology.classes().unwrap().groups.len() - 1);
        assert_eq!(found, (stations, lines, classes), "{name}");
        let problem = full(&topology);
        let plan = solve(&problem, 60_000).unwrap();
        assert_eq!(check(&problem, &plan), [], "{name}");
        let most = most_loaded(&topology, &plan.column(0));
        println!("{name}: {} kW at most, its fullest line at {most:.4}", plan.peak_w.0 / 1000);
        assert!((0.99..=1.0).contains(&most), "{name}: {most}");
    }
}
