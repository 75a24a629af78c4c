#!/usr/bin/env python3
"""What a month could have earned with perfect foresight, planned by `optimizer serve` in one problem.

    python3 offline.py path/to/acn_month.py "optimizer serve" [--cap-kw, --start, --days, --sessions as acn_month.py] [--shortfall $/kWh]

Without --shortfall a kWh left out costs the revenue, so that the plan maximises profit; 30 maximises energy.
The month is the one of acn_month.py: same sessions, prices and constraint matrix. All sessions are sent in one line, with
arrivals ahead; the answer's currents are then priced here and held against the matrix, so that only the arithmetic of
the answer counts and not what the planner says of itself.
"""
import importlib.util, json, subprocess, sys
from datetime import datetime, timedelta

import numpy as np


def main():
    script, command, *rest = sys.argv[1:]
    spec = importlib.util.spec_from_file_location("acn_month", script)
    month = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(month)
    option = lambda name, default: rest[rest.index(name) + 1] if name in rest else default
    start = month.ZONE.localize(datetime.strptime(option("--start", "2019-05-01"), "%Y-%m-%d"))
    days, cap = int(option("--days", 30)), float(option("--cap-kw", 150.0))
    sessions_file = option("--sessions", str(month.HERE.parent / "data/acn_sessions/caltech_2019-05-01_2019-08-31.csv.gz"))
    network = month.acnsim.sites.caltech_acn(voltage=month.VOLTAGE, transformer_cap=cap, basic_evse=True)
    events, requested = month.sessions(sessions_file, start, days, network.station_ids)
    cars = [event.ev for event in events]
    horizon = max(car.departure for car in cars)
    tariff = month.TimeOfUseTariff("sce_tou_ev_4_march_2019")
    prices = tariff.get_tariffs(start, horizon, month.PERIOD_MIN)
    demand_charge = tariff.get_demand_charge(start)
    message = {
        "period": 0, "minutes": month.PERIOD_MIN, "voltage_v": month.VOLTAGE, "cap_kw": cap, "peak_so_far_kw": 0,
        "revenue": month.REVENUE, "shortfall": float(option("--shortfall", month.REVENUE)), "energy_price": list(map(float, prices)),
        "demand_charge": demand_charge, "days_left": 1, "periods": horizon,
        "sessions": [{
            "id": car.session_id, "evse": car.station_id, "arrival": car.arrival, "departure": car.departure,
            "remaining_kwh": float(car.requested_energy), "requested_kwh": float(car.requested_energy),
            "min_a": 0, "max_a": 32, "pilots_a": None,
        } for car in cars],
        "evses": list(network.station_ids), "phase_deg": list(map(float, network._phase_angles)),
        "rows": [{"name": name, "coef": list(map(float, coef)), "limit_a": float(limit)} for name, coef, limit in
                 zip(network.constraint_index, network.constraint_matrix, network.magnitudes)],
    }
    answer = subprocess.run(command, shell=True, input=json.dumps(message) + "\n", capture_output=True, text=True, check=True)
    rates = json.loads(answer.stdout)["rates_a"]
    amps = np.zeros((len(network.station_ids), horizon))
    for evse, row in rates.items():
        amps[network.station_ids.index(evse), : len(row)] = row
    given = [float(amps[network.station_ids.index(c.station_id), c.arrival : c.departure].sum()) * month.VOLTAGE / 4000 for c in cars]
    assert all(got <= car.requested_energy + 1e-6 for got, car in zip(given, cars)), "more than a car takes"
    phased = network.constraint_matrix @ (amps * np.exp(1j * np.deg2rad(network._phase_angles))[:, None])
    power = amps.sum(axis=0) * month.VOLTAGE / 1000
    energy, demand = float((power * prices).sum() / 4), float(power.max() * demand_charge)
    print(json.dumps({
        "start": str(start.date()), "cap_kw": cap, "sessions": len(cars), "delivered_pct": round(100 * sum(given) / requested, 2),
        "sessions_met_pct": round(100 * float(np.mean([c.requested_energy - g <= 0.1 for g, c in zip(given, cars)])), 1),
        "energy_cost": round(energy, 2), "demand_cost": round(demand, 2), "peak_kw": round(float(power.max()), 2),
        "profit": round(month.REVENUE * sum(given) - energy - demand, 2),
        "feasible": bool(np.all(np.abs(phased) <= network.magnitudes[:, None] + 1e-3)),
    }))


if __name__ == "__main__":
    main()
