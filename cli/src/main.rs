//! The `relay` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    relay_cli::commands::main()
}
