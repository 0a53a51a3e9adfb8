use super::super::*;
use super::{SERVER, TestEnv, plain, written};
#[test]
fn dump() {
    let mut all = Vec::new();
    for line in std::fs::read_to_string("/tmp/cases.txt").unwrap().lines() {
        let text = line.replace("{S}", SERVER).replace("\\n", "\n");
        let (directory, file) = written(&text);
        let errors = Config::load(&file, &TestEnv)
            .map(|(_, w)| {
                w.iter().map(|e| format!("WARN {}", plain(e, directory.path()))).collect::<Vec<_>>()
            })
            .unwrap_or_else(|e| e.iter().map(|e| plain(e, directory.path())).collect());
        all.push((text, errors));
    }
    std::fs::write("/tmp/cases.json", serde_json::to_string_pretty(&all).unwrap()).unwrap();
}
