//! Runs `./dev bench --quick` with the debug binaries. It checks that the bench works, not how fast the system is.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

#[test]
fn a_quick_bench_measures_without_an_error_and_writes_its_report() {
    let bench = Path::new(env!("CARGO_BIN_EXE_millrace-bench"));
    let out = std::env::temp_dir().join(format!("millrace-bench-quick-{}", std::process::id()));
    let ran = Command::new(bench)
        .args(["run", "--quick", "--bins"])
        .arg(bench.parent().unwrap())
        .arg("--out")
        .arg(&out)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));

    let report: Value = serde_json::from_slice(&std::fs::read(out.join("bench.json")).unwrap()).unwrap();
    let rows = report["rows"].as_array().unwrap();
    for part in ["placing", "lives", "reads"] {
        assert!(rows.iter().any(|row| row["part"] == part && row["value"].as_f64() > Some(0.0)), "{part}: {said}");
    }
    let errors = rows.iter().find(|row| row["what"] == "errors with the most connections").unwrap();
    assert_eq!(errors["value"], 0.0, "{said}");
    let page = std::fs::read_to_string(out.join("bench.html")).unwrap();
    assert!(page.contains("<polyline") && page.ends_with("</html>\n"), "{page}");
    std::fs::remove_dir_all(out).unwrap();
}
