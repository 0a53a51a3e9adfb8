//! The command line: parse it, run one command.

fn main() {}
