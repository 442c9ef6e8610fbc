//! What is logged once in ten seconds.

use trunkline_core::{Seldom, Time};

#[test]
fn it_is_said_at_once_and_then_once_in_ten_seconds_with_how_often_it_was() {
    let mut seldom = Seldom::default();
    let said = [0, 0, 9_999, 10_000, 10_001, 20_000, 50_000, 49_000].map(|ms| seldom.count(Time(ms)));
    assert_eq!(said, [Some(1), None, None, Some(3), None, Some(2), Some(1), None]);
}
