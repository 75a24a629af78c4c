#!/usr/bin/env python3
"""Drives ACN-Sim's Caltech garage with `optimizer serve` as its scheduling algorithm, for two made-up days.

    python3 drive.py "optimizer serve" [--discrete] [--cap-kw 20]

ACN-Sim (PyPI acnportal 0.3.3, numpy<2, pandas<2.2) owns the truth: the real three-phase constraint matrix, EVSEs and
batteries. Prints what came of it as JSON, and ends with 1 where ACN-Sim finds a period infeasible. Sessions are drawn with
a fixed seed: no real data is needed. For a real month see `docs/benchmarks.md`.
"""
import argparse, json, random, subprocess, sys, warnings
from datetime import datetime

warnings.filterwarnings("ignore")
import numpy as np
import pytz
from acnportal import acnsim
from acnportal.acnsim import analysis
from acnportal.acnsim.events import EventQueue, PluginEvent
from acnportal.acnsim.models import EV, Battery
from acnportal.algorithms import BaseAlgorithm
from acnportal.signals.tariffs import TimeOfUseTariff

VOLTAGE, MINUTES, DAYS, MAX_KW = 208, 15, 2, 6.656


class Provolt(BaseAlgorithm):
    """Asks `optimizer serve` for the currents of every period."""

    def __init__(self, command):
        super().__init__()
        self.max_recompute = 1
        self.child = subprocess.Popen(command, shell=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def schedule(self, active_sessions):
        face, info, now = self.interface, self.interface.infrastructure_info(), self.interface.current_time
        pilots = lambda i: None if info.is_continuous[i] else [float(a) for a in info.allowable_pilots[i]]
        rows = zip(info.constraint_ids, info.constraint_matrix, info.constraint_limits)
        message = {
            "period": now, "minutes": MINUTES, "voltage_v": VOLTAGE, "revenue": 0.3,
            "peak_so_far_kw": face.get_prev_peak() * VOLTAGE / 1000, "demand_charge": float(face.get_demand_charge()),
            "energy_price": list(map(float, face.get_prices(96, now))),
            "sessions": [{
                "id": s.session_id, "evse": s.station_id, "arrival": s.arrival, "departure": s.estimated_departure,
                "remaining_kwh": float(s.remaining_demand), "min_a": float(np.atleast_1d(s.min_rates)[0]),
                "max_a": float(np.atleast_1d(s.max_rates)[0]), "pilots_a": pilots(info.station_ids.index(s.station_id)),
            } for s in active_sessions],
            "evses": list(info.station_ids), "phase_deg": list(map(float, info.phases)),
            "rows": [{"name": n, "coef": list(map(float, c)), "limit_a": float(l)} for n, c, l in rows],
        }
        print(json.dumps(message), file=self.child.stdin, flush=True)
        answer = json.loads(self.child.stdout.readline())
        if "rates_a" not in answer:
            sys.exit(answer.get("error", "no answer"))
        return answer["rates_a"]


def cars(stations):
    """A workday's cars, twice: most come in the morning and stay for a shift."""
    draw, events = random.Random(2026), []
    for day in range(DAYS):
        for station in stations:
            arrival = day * 96 + min(60, max(16, round(draw.gauss(34, 5))))
            stay = min(48, max(2, round(draw.gauss(30, 10))))
            energy = min(draw.uniform(3, 25), MAX_KW * stay * MINUTES / 60)
            car = EV(arrival, arrival + stay, energy, station, f"{day}-{station}", Battery(energy, 0, MAX_KW))
            events.append(PluginEvent(arrival, car))
    return events


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("command")
    args.add_argument("--discrete", action="store_true")
    args.add_argument("--cap-kw", type=float, default=150.0)
    a = args.parse_args()
    network = acnsim.sites.caltech_acn(voltage=VOLTAGE, transformer_cap=a.cap_kw, basic_evse=not a.discrete)
    start = pytz.timezone("America/Los_Angeles").localize(datetime(2019, 5, 1))
    sim = acnsim.Simulator(network, Provolt(a.command), EventQueue(cars(network.station_ids)), start, period=MINUTES,
                           verbose=False, signals={"tariff": TimeOfUseTariff("sce_tou_ev_4_march_2019")})
    sim.run()
    currents = sim.charging_rates[:, : sim.iteration]
    phased = network.constraint_matrix @ (currents * np.exp(1j * np.deg2rad(network._phase_angles))[:, None])
    feasible = bool(np.all(np.abs(phased) <= network.magnitudes[:, None] + 1e-3))
    delivered = analysis.total_energy_delivered(sim)
    print(json.dumps({
        "discrete": a.discrete, "cap_kw": a.cap_kw, "feasible": feasible, "delivered_kwh": round(delivered, 1),
        "sessions_met_pct": round(100 * analysis.proportion_of_demands_met(sim), 1), "peak_a": round(float(sim.peak), 1),
    }))
    sys.exit(0 if feasible else 1)


if __name__ == "__main__":
    main()
