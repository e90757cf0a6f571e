//! The faults that the command `mutations` puts into the SQL, and their places.

use std::fs;
use std::path::Path;

use tests::mutations::{Mutation, all};

#[test]
fn every_fault_still_finds_its_place() {
    let faults: Vec<String> =
        all().filter_map(|mutation| mutation.sql().err()).map(|error| error.to_string()).collect();

    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn every_fault_names_a_test_that_is_there() {
    let faults: Vec<&str> =
        all().filter(|mutation| !is_there(mutation)).map(|mutation| mutation.noticed_by).collect();

    assert!(faults.is_empty(), "{faults:#?}");
}

/// `room::file::test` stands in `room/file.rs`.
fn is_there(mutation: &Mutation) -> bool {
    let Some((path, name)) = mutation.noticed_by.rsplit_once("::") else { return false };
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("it").join(path.replace("::", "/")).with_extension("rs");
    fs::read_to_string(file).is_ok_and(|text| text.contains(&format!("fn {name}()")))
}
