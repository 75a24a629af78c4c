//! devices
fn main(){}
