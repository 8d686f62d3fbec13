//! What `cargo metadata` says, reduced to the few facts the rules need.
//!
//! Refuses to resolve anything itself. Invariant: a package without a source is in-house.

use std::path::PathBuf;

use serde_json::Value;

/// How one crate needs another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Need {
    /// Needed to build the crate.
    Build,
    /// Needed only by its tests, examples and benchmarks.
    Test,
}

/// One in-house edge.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Edge {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) need: Need,
}

/// One package of the resolved graph.
#[derive(Clone, Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) licence: Option<String>,
    /// The registry it comes from; `None` for a crate of this repository.
    pub(crate) source: Option<String>,
    pub(crate) folder: PathBuf,
}

/// The workspace as cargo sees it.
#[derive(Debug)]
pub(crate) struct Metadata {
    pub(crate) root: PathBuf,
    pub(crate) target: PathBuf,
    pub(crate) packages: Vec<Package>,
    pub(crate) edges: Vec<Edge>,
}

/// Asks cargo. With `locked`, packages of every feature; a lock file that would change is an error.
pub(crate) fn read(locked: bool) -> Result<Metadata, String> {
    let mut command = crate::steps::cargo();
    command.args(["metadata", "--format-version", "1"]);
    // The edges of the workspace need no resolution, so they can be read while the lock is stale.
    let wanted: &[&str] = if locked { &["--locked", "--all-features"] } else { &["--no-deps"] };
    command.args(wanted);
    let output = command.output().map_err(|e| format!("cargo metadata does not start: {e}"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(format!("cargo metadata failed; run `cargo check` first:\n{}", text.trim()));
    }
    let value: Value = serde_json::from_slice(&output.stdout)
        .map_err(|e| format!("cargo metadata printed no JSON: {e}"))?;
    parse(&value)
}

fn parse(value: &Value) -> Result<Metadata, String> {
    let packages = value["packages"].as_array().ok_or("cargo metadata: no packages")?;
    let mut found = Metadata {
        root: PathBuf::from(text(value, "workspace_root")?),
        target: PathBuf::from(text(value, "target_directory")?),
        packages: Vec::new(),
        edges: Vec::new(),
    };
    for package in packages {
        let name = text(package, "name")?;
        let manifest = PathBuf::from(text(package, "manifest_path")?);
        let source = package["source"].as_str().map(str::to_owned);
        if source.is_none() {
            edges_of(package, &name, &mut found.edges)?;
        }
        found.packages.push(Package {
            name,
            version: text(package, "version")?,
            licence: package["license"].as_str().map(str::to_owned),
            source,
            folder: manifest.parent().map(PathBuf::from).unwrap_or_default(),
        });
    }
    Ok(found)
}

/// The in-house dependencies of one in-house package: those that have a path.
fn edges_of(package: &Value, from: &str, edges: &mut Vec<Edge>) -> Result<(), String> {
    for dependency in package["dependencies"].as_array().into_iter().flatten() {
        if dependency["path"].is_string() {
            let test = dependency["kind"].as_str() == Some("dev");
            edges.push(Edge {
                from: from.to_owned(),
                to: text(dependency, "name")?,
                need: if test { Need::Test } else { Need::Build },
            });
        }
    }
    Ok(())
}

fn text(value: &Value, key: &str) -> Result<String, String> {
    let found = value[key].as_str().map(str::to_owned);
    found.ok_or_else(|| format!("cargo metadata: `{key}` is missing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dependencies_with_a_path_are_edges() {
        let value: Value = serde_json::from_str(
            r#"{"workspace_root": "/w", "target_directory": "/w/target", "packages": [
                {"name": "engine", "version": "0.1.0", "license": "MIT", "source": null,
                 "manifest_path": "/w/engine/Cargo.toml", "dependencies": [
                    {"name": "protocol", "kind": null, "path": "/w/protocol"},
                    {"name": "ring", "kind": null},
                    {"name": "journal", "kind": "dev", "path": "/w/journal"}]}]}"#,
        )
        .unwrap();
        let found = parse(&value).unwrap();
        assert_eq!(found.packages[0].folder, PathBuf::from("/w/engine"));
        let edge = |to: &str, need| Edge { from: "engine".into(), to: to.into(), need };
        let expected = [edge("protocol", Need::Build), edge("journal", Need::Test)];
        assert_eq!(found.edges, expected);
    }
}
