//! Secrets in files that something else mounts, and secrets that a command prints.

use std::io::ErrorKind;
use std::path::Path;

use async_trait::async_trait;
use tokio::io::AsyncReadExt as _;
use zeroize::Zeroizing;

use crate::credential::command;
use crate::credential::fetched::{Asked, Missing, Source};

const LARGEST: u64 = 64 << 10;

/// A file of each account.
pub(super) struct MountedFile;

#[async_trait]
impl Source for MountedFile {
    async fn fetch(&self, asked: Asked<'_>) -> Result<Zeroizing<Vec<u8>>, Missing> {
        read(Path::new(asked.place)).await.map_err(|error| {
            let why = format!("`{}` cannot be read: {error}", asked.place);
            if error.kind() == ErrorKind::NotFound { Missing::Gone(why) } else { Missing::Unasked(why) }
        })
    }
}

async fn read(path: &Path) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
    tokio::fs::File::open(path).await?.take(LARGEST).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

/// The output of a command, which is told the account.
pub(super) struct CommandOutput(pub(super) Vec<String>);

#[async_trait]
impl Source for CommandOutput {
    async fn fetch(&self, asked: Asked<'_>) -> Result<Zeroizing<Vec<u8>>, Missing> {
        let told = [("PORTCULLIS_TENANT", asked.tenant), ("PORTCULLIS_SERVER", asked.server)];
        let printed = command::output(&self.0, &told).await;
        printed.map_err(|error| Missing::Unasked(error.into_text()))
    }
}
