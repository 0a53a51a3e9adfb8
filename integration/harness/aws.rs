//! AWS' services as others have written them: moto, with boto3 as whoever sets them up.

use serde_json::{Value, json};

use crate::gate::House;
use crate::process::Process;
use crate::sdk::{python, python_module, set_up};

/// The region of everything here.
pub const REGION: &str = "eu-central-1";

/// A running moto; it ends when it is dropped.
pub struct Aws {
    /// Its URL.
    pub url: String,
    process: Process,
}

impl Aws {
    /// One without keys and secrets.
    #[must_use]
    pub fn start() -> Self {
        set_up();
        let mut command = python_module("moto.server");
        command.env("PYTHONUNBUFFERED", "1").args(["-H", "127.0.0.1", "-p", "0"]);
        let mut process = Process::start("moto", command);
        let url = process.until("its address", |lines| {
            lines.iter().find_map(|line| Some(line.split_once("Running on ")?.1.trim().to_owned()))
        });
        Self { url, process }
    }

    /// Sets something up there (see integration/tools/aws.py); what that prints.
    ///
    /// # Panics
    /// Where it fails.
    pub fn run(&self, words: &[&str]) -> String {
        let output = python("tools/aws.py").args([&self.url, REGION]).args(words).output();
        let output = output.expect("Python runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Sends it a signal by name, as `STOP`.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// What the configuration says of who the gate is there; the secret is written into its directory.
    pub fn identity(house: &House) -> Value {
        house.write("aws.secret", "the secret access key\n");
        Self::written_identity()
    }

    /// The same where the secret is written elsewhere.
    #[must_use]
    pub fn written_identity() -> Value {
        json!({"key": {"id": "AKIDEXAMPLE", "secret": "aws.secret"}})
    }
}
