//! The faults that the command `mutations` puts into the SQL, and their places.

use tests::mutations::all;

#[test]
fn every_fault_still_finds_its_place() {
    let faults: Vec<String> =
        all().filter_map(|mutation| mutation.sql().err()).map(|error| error.to_string()).collect();

    assert!(faults.is_empty(), "{faults:#?}");
}
