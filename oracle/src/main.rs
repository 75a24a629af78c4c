//! provolt
fn main(){}
