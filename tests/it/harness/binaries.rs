//! The binaries under test.

use tests::binaries::binary;

#[test]
fn a_binary_of_the_workspace_is_built_when_asked_for() {
    let runner = binary("runner").unwrap();

    assert!(runner.is_file(), "{}", runner.display());
}

#[test]
fn a_binary_that_nobody_wrote_is_refused_by_name() {
    let error = binary("walker").unwrap_err();

    assert!(error.to_string().contains("no binary named walker"), "{error}");
}
