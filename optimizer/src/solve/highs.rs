//! The solver behind a safe face. The only file that is not safe Rust: the published safe bindings can neither set nor
//! read a basis, and a basis is what makes a plan fast.
#![allow(unsafe_code)]

use highs_sys as sys;
use std::ffi::{CStr, c_int, c_void};

/// Where a column or row stands in a basis, as HiGHS counts.
pub(super) const AT_LOWER: c_int = 0;
/// See [`AT_LOWER`].
pub(super) const BASIC: c_int = 1;
/// See [`AT_LOWER`].
pub(super) const AT_UPPER: c_int = 2;

/// The model status of a run that ended without a proof.
pub(super) const UNKNOWN: c_int = sys::MODEL_STATUS_UNKNOWN;

/// A linear program, column by column: minimise cost · x with lower ≤ x ≤ upper, row lower ≤ A x ≤ row upper.
#[derive(Debug, Default)]
pub(super) struct Program {
    pub(super) cost: Vec<f64>,
    /// Of the cost, what is money: the rest decides between equals.
    pub(super) money: Vec<f64>,
    pub(super) lower: Vec<f64>,
    pub(super) upper: Vec<f64>,
    pub(super) row_lower: Vec<f64>,
    pub(super) row_upper: Vec<f64>,
    start: Vec<c_int>,
    index: Vec<c_int>,
    value: Vec<f64>,
    /// Columns that are 0 or 1.
    pub(super) binary: Vec<usize>,
}

impl Program {
    /// Forgets everything but the memory it holds.
    pub(super) fn clear(&mut self) {
        for floats in [
            &mut self.cost,
            &mut self.money,
            &mut self.lower,
            &mut self.upper,
            &mut self.row_lower,
            &mut self.row_upper,
            &mut self.value,
        ] {
            floats.clear();
        }
        self.start.clear();
        self.index.clear();
        self.binary.clear();
    }

    pub(super) fn row(&mut self, lower: f64, upper: f64) -> usize {
        self.row_lower.push(lower);
        self.row_upper.push(upper);
        self.row_lower.len() - 1
    }

    /// A column from 0 to `upper`; its coefficients follow by [`Self::entry`].
    pub(super) fn column(&mut self, lower: f64, upper: f64, cost: f64) -> usize {
        self.start.push(self.index.len() as c_int);
        self.cost.push(cost);
        self.money.push(cost);
        self.lower.push(lower);
        self.upper.push(upper);
        self.cost.len() - 1
    }

    /// How much of the newest column's cost is money.
    pub(super) fn only_money(&mut self, money: f64) {
        self.money.last_mut().into_iter().for_each(|last| *last = money);
    }

    /// A coefficient of the newest column.
    pub(super) fn entry(&mut self, row: usize, value: f64) {
        self.index.push(row as c_int);
        self.value.push(value);
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Optimal,
    TimeLimit,
    /// HiGHS's model status.
    Failed(i32),
}

/// Values and duals of the last run.
#[derive(Debug, Default)]
pub(super) struct Values {
    pub(super) column: Vec<f64>,
    pub(super) row_dual: Vec<f64>,
    column_dual: Vec<f64>,
    row: Vec<f64>,
}

/// One instance of HiGHS: quiet, one thread.
#[derive(Debug)]
pub(super) struct Solver {
    highs: *mut c_void,
    columns: usize,
    rows: usize,
}

// SAFETY: an instance has no ties to the thread that made it, and every use takes it by `&mut`.
unsafe impl Send for Solver {}

impl Drop for Solver {
    fn drop(&mut self) {
        // SAFETY: made by `Highs_create`, and nobody else has the pointer.
        unsafe { sys::Highs_destroy(self.highs) }
    }
}

impl Solver {
    pub(super) fn new() -> Self {
        // SAFETY: takes nothing; the result is owned here.
        let highs = unsafe { sys::Highs_create() };
        let mut solver = Self { highs, columns: 0, rows: 0 };
        solver.flag(c"output_flag", false);
        solver.whole(c"threads", 1);
        solver.text(c"parallel", c"off");
        solver
    }

    fn flag(&mut self, name: &CStr, value: bool) {
        // SAFETY: `name` ends with a zero and outlives the call. An unknown option changes nothing.
        let _ = unsafe { sys::Highs_setBoolOptionValue(self.highs, name.as_ptr(), value.into()) };
    }

    pub(super) fn whole(&mut self, name: &CStr, value: i32) {
        // SAFETY: as in `flag`.
        let _ = unsafe { sys::Highs_setIntOptionValue(self.highs, name.as_ptr(), value) };
    }

    pub(super) fn real(&mut self, name: &CStr, value: f64) {
        // SAFETY: as in `flag`.
        let _ = unsafe { sys::Highs_setDoubleOptionValue(self.highs, name.as_ptr(), value) };
    }

    pub(super) fn text(&mut self, name: &CStr, value: &CStr) {
        // SAFETY: as in `flag`.
        let _ = unsafe { sys::Highs_setStringOptionValue(self.highs, name.as_ptr(), value.as_ptr()) };
    }

    /// Takes a program in place of the one before; its basis is forgotten. Whether HiGHS took it.
    pub(super) fn load(&mut self, program: &Program) -> bool {
        (self.columns, self.rows) = (program.cost.len(), program.row_lower.len());
        let counts = (self.columns as c_int, self.rows as c_int, program.value.len() as c_int);
        let sizes = [program.lower.len(), program.upper.len(), program.start.len()];
        assert!(sizes.iter().all(|n| *n == self.columns) && program.row_upper.len() == self.rows, "a program in order");
        // SAFETY: all pointers are to vectors of the lengths given, which HiGHS copies.
        let status = unsafe {
            sys::Highs_passLp(
                self.highs,
                counts.0,
                counts.1,
                counts.2,
                sys::MATRIX_FORMAT_COLUMN_WISE,
                sys::OBJECTIVE_SENSE_MINIMIZE,
                0.0,
                program.cost.as_ptr(),
                program.lower.as_ptr(),
                program.upper.as_ptr(),
                program.row_lower.as_ptr(),
                program.row_upper.as_ptr(),
                program.start.as_ptr(),
                program.index.as_ptr(),
                program.value.as_ptr(),
            )
        };
        for &column in &program.binary {
            // SAFETY: a column of the program that was just passed.
            unsafe { sys::Highs_changeColIntegrality(self.highs, column as c_int, sys::VAR_TYPE_INTEGER) };
        }
        status != sys::STATUS_ERROR
    }

    /// Other costs for all columns; the basis is kept.
    pub(super) fn set_costs(&mut self, costs: &[f64]) -> bool {
        assert_eq!(costs.len(), self.columns);
        let last = self.columns as c_int - 1;
        // SAFETY: as many costs as columns, which HiGHS copies.
        unsafe { sys::Highs_changeColsCostByRange(self.highs, 0, last, costs.as_ptr()) != sys::STATUS_ERROR }
    }

    /// Adds `lower ≤ Σ value · column ≤ upper`; the basis is kept, with the new row in it.
    pub(super) fn add_row(&mut self, lower: f64, upper: f64, index: &[c_int], value: &[f64]) -> bool {
        assert_eq!(index.len(), value.len());
        self.rows += 1;
        // SAFETY: both pointers are to slices of the length given, which HiGHS copies and checks.
        let status = unsafe {
            sys::Highs_addRow(self.highs, lower, upper, index.len() as c_int, index.as_ptr(), value.as_ptr())
        };
        status != sys::STATUS_ERROR
    }

    /// Starts the next run from here. HiGHS completes a basis that is none; whether it could.
    pub(super) fn set_basis(&mut self, columns: &[c_int], rows: &[c_int]) -> bool {
        assert!(columns.len() == self.columns && rows.len() == self.rows);
        // SAFETY: as many statuses as columns and rows.
        unsafe { sys::Highs_setBasis(self.highs, columns.as_ptr(), rows.as_ptr()) != sys::STATUS_ERROR }
    }

    /// The basis of the last run.
    pub(super) fn basis(&mut self, columns: &mut Vec<c_int>, rows: &mut Vec<c_int>) {
        columns.resize(self.columns, AT_LOWER);
        rows.resize(self.rows, BASIC);
        // SAFETY: room for as many statuses as columns and rows.
        unsafe { sys::Highs_getBasis(self.highs, columns.as_mut_ptr(), rows.as_mut_ptr()) };
    }

    /// Forgets where the last run ended: the next one starts from nothing, with presolve.
    pub(super) fn forget(&mut self) {
        // SAFETY: an instance that is alive.
        unsafe { sys::Highs_clearSolver(self.highs) };
    }

    /// Starts the clock that the time limit is held against: it runs on from one run to the next.
    pub(super) fn start_clock(&mut self) {
        // SAFETY: an instance that is alive.
        unsafe { sys::Highs_zeroAllClocks(self.highs) };
    }

    /// Seconds for which it has run since its clock was started.
    pub(super) fn clock_s(&mut self) -> f64 {
        // SAFETY: an instance that is alive.
        unsafe { sys::Highs_getRunTime(self.highs) }
    }

    pub(super) fn run(&mut self) -> Ended {
        // SAFETY: an instance that is alive.
        let status = unsafe { sys::Highs_run(self.highs) };
        // SAFETY: as above.
        let model = unsafe { sys::Highs_getModelStatus(self.highs) };
        match model {
            sys::MODEL_STATUS_OPTIMAL | sys::MODEL_STATUS_MODEL_EMPTY => Ended::Optimal,
            _ if status == sys::STATUS_ERROR => Ended::Failed(model),
            sys::MODEL_STATUS_REACHED_TIME_LIMIT => Ended::TimeLimit,
            // A search stops at its count of nodes.
            sys::MODEL_STATUS_REACHED_SOLUTION_LIMIT => Ended::Optimal,
            _ => Ended::Failed(model),
        }
    }

    /// Whether the last run left a feasible point, optimal or not.
    pub(super) fn has_point(&mut self) -> bool {
        self.info(c"primal_solution_status") == sys::SOLUTION_STATUS_FEASIBLE
    }

    /// Iterations of the simplex method in the last run.
    pub(super) fn iterations(&mut self) -> i32 {
        self.info(c"simplex_iteration_count")
    }

    fn info(&mut self, name: &CStr) -> c_int {
        let mut value: c_int = 0;
        // SAFETY: `name` ends with a zero; `value` is where the answer goes.
        unsafe { sys::Highs_getIntInfoValue(self.highs, name.as_ptr(), &raw mut value) };
        value
    }

    pub(super) fn values(&mut self, values: &mut Values) {
        values.column.resize(self.columns, 0.0);
        values.column_dual.resize(self.columns, 0.0);
        values.row.resize(self.rows, 0.0);
        values.row_dual.resize(self.rows, 0.0);
        // SAFETY: room for as many numbers as columns and rows.
        unsafe {
            sys::Highs_getSolution(
                self.highs,
                values.column.as_mut_ptr(),
                values.column_dual.as_mut_ptr(),
                values.row.as_mut_ptr(),
                values.row_dual.as_mut_ptr(),
            );
        }
    }
}
