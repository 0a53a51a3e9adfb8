//! The `.manifest` of a bundle, and what of a bundle this gate can be policy with.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::deliver::files::Files;

/// What a bundle says of itself. Keys that do not change how policy is read are passed over, as OPA does.
#[derive(Debug, Default, Deserialize)]
pub(in crate::deliver::bundle) struct Manifest {
    /// How its makers call it.
    #[serde(default)]
    pub(in crate::deliver::bundle) revision: String,
    /// The language of its modules: 0 or 1.
    rego_version: Option<u8>,
    /// The same for files by glob.
    #[serde(default)]
    file_rego_versions: BTreeMap<String, u8>,
    /// Entry points that WebAssembly answers.
    #[serde(default)]
    wasm: Vec<serde_json::Value>,
}

impl Manifest {
    pub(in crate::deliver::bundle) fn read(content: Option<&[u8]>) -> Result<Self, String> {
        let Some(content) = content else { return Ok(Self::default()) };
        let manifest: Self = serde_json::from_slice(content)
            .map_err(|error| format!("its `.manifest` cannot be read: {error}"))?;
        let old = |version: &u8| *version != 1;
        if manifest.rego_version.as_ref().is_some_and(old) || manifest.file_rego_versions.values().any(old) {
            return Err(
                "its `.manifest` says that it is not written in Rego v1; build it without `--v0-compatible`"
                    .into(),
            );
        }
        if !manifest.wasm.is_empty() {
            return Err(
                "its `.manifest` has rules that WebAssembly answers; build it with `--target rego`".into()
            );
        }
        Ok(manifest)
    }
}

/// Whether the gate reads everything in the bundle that OPA would read as policy or data.
pub(in crate::deliver::bundle) fn fit(files: &Files) -> Result<(), String> {
    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let counts = |path: &str| path.ends_with(".rego") || matches!(&*name(path), "data.json" | "data.yaml");
    for (path, _) in files.iter() {
        if name(path) == "patch.json" {
            return Err("it is a delta bundle; serve whole ones (snapshots)".into());
        }
        if counts(path) && path.split('/').any(|part| part.starts_with('.')) {
            return Err(format!("`{path}` is hidden: names that begin with a dot are not read"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_read_otherwise_than_it_is_meant_is_refused() {
        for text in [
            r#"{"rego_version": 0}"#,
            r#"{"file_rego_versions": {"/a.rego": 0}}"#,
            r#"{"wasm": [{"entrypoint": "mcp/authz/allow", "module": "/policy.wasm"}]}"#,
            r#"{"revision": 7}"#,
            "not JSON",
        ] {
            assert!(Manifest::read(Some(text.as_bytes())).is_err(), "{text}");
        }
        let plain = r#"{"revision": "r1", "roots": [""], "rego_version": 1, "metadata": {"a": 1}}"#;
        assert_eq!(Manifest::read(Some(plain.as_bytes())).unwrap().revision, "r1");
        assert_eq!(Manifest::read(None).unwrap().revision, "");
    }

    #[test]
    fn nothing_that_opa_reads_is_passed_over() {
        for path in ["patch.json", ".hidden/deny.rego", "roles/.x/data.json"] {
            let mut files = Files::default();
            files.add(path, Vec::new()).unwrap();
            assert!(fit(&files).is_err(), "{path}");
        }
    }
}
