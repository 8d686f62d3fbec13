//! `cargo xtask conformance [EXAMPLES]`: strangers' tools against the HTTPS door of a running
//! frame: schemathesis (every check, stateful, as every role), sslyze, and `openssl s_client`.
//!
//! It installs the Python tools into a folder below `target`, so it needs a package index, and is
//! no part of `ci`. Invariant: a finding of any tool is an error.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::metadata;
use crate::server::Server;
use crate::steps::{Steps, cargo, output, run};

/// The tools, pinned so that a finding is ours and not a new version's.
const TOOLS: &[&str] = &["schemathesis==4.32.5", "sslyze==6.3.1"];
/// Cases per operation and phase, unless said otherwise.
const EXAMPLES: &str = "25";
/// The owners of the document's examples: opened and funded before the tools come.
const OWNERS: [&str; 2] =
    ["01900000-0000-7000-8000-00000000000a", "01900000-0000-7000-8000-00000000000b"];
const ROLES: &[(&str, &str)] = &[
    ("registry", "north"),
    ("agent", OWNERS[0]),
    ("mint", "central"),
    ("admin", "chief"),
    ("auditor", "eyes"),
];

/// Runs every tool; `examples` is how many cases schemathesis makes for each operation.
pub(crate) fn conformance(examples: Option<&str>) -> Result<(), String> {
    let target = metadata::read(false)?.target;
    let tools = tools(&target.join("conformance"))?;
    run(cargo().args(["build", "--release", "-p", "server"]))?;
    let place = std::env::temp_dir().join(format!("bezant-conformance-{}", std::process::id()));
    let frame = Frame { bin: target.join("release/bezant"), data: place.join("frame") };
    let done = frame.examine(&tools, examples.unwrap_or(EXAMPLES));
    if done.is_ok() {
        // Only takes space.
        let _ = fs::remove_dir_all(&place);
    } else {
        println!("conformance: the frame's log and journal are kept in {}", place.display());
    }
    done
}

/// A folder with the tools' programs, made on first use.
fn tools(folder: &Path) -> Result<PathBuf, String> {
    let programs = folder.join("bin");
    let has_all = ["schemathesis", "sslyze"].iter().all(|name| programs.join(name).is_file());
    if !has_all {
        println!("conformance: installing {} into {}", TOOLS.join(", "), folder.display());
        run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
        run(Command::new(programs.join("pip")).args(["install", "-q"]).args(TOOLS))?;
    }
    Ok(programs)
}

struct Frame {
    bin: PathBuf,
    data: PathBuf,
}

impl Frame {
    fn bezant(&self) -> Command {
        let mut command = Command::new(&self.bin);
        command.arg("--data-dir").arg(&self.data);
        for door in ["quic", "https", "admin"] {
            command.args(["--set", &format!("listen.{door}=127.0.0.1:0")]);
        }
        // String keys need the settled history.
        command.args(["--set", "settlement.history=full"]);
        command
    }

    fn identity(&self, role: &str) -> PathBuf {
        self.data.join("ids").join(role)
    }

    fn examine(&self, tools: &Path, examples: &str) -> Result<(), String> {
        output(self.bezant().arg("init"))?;
        for (role, name) in ROLES {
            let issue = ["identity", "issue", role, "--name", name, "--out"];
            output(self.bezant().args(issue).arg(self.identity(role)))?;
        }
        let log = fs::File::create(self.data.join("serve.log")).map_err(|e| e.to_string())?;
        let mut server = Server::start(self.bezant().arg("serve").stderr(log))?;
        let (quic, door) = (server.quic.clone(), server.https.clone());
        self.fund(&quic)?;
        let mut steps = Steps::default();
        steps.step("s_client", || self.s_client(&door));
        steps.step("sslyze", || self.sslyze(tools, &door));
        for (role, _) in ROLES {
            steps.step(role, || self.schemathesis(tools, &door, role, examples));
        }
        steps.step("still serves", || server.serves());
        steps.finish()
    }

    /// Opens and funds the owners that the examples name.
    fn fund(&self, quic: &str) -> Result<(), String> {
        let client = |role: &str, words: &[&str]| {
            let mut client = self.bezant();
            client.args(["client", "--server", quic, "--identity"]).arg(self.identity(role));
            output(client.args(words))
        };
        for owner in OWNERS {
            client("registry", &["open", owner])?;
            client("mint", &["issue", owner, "1000000"])?;
        }
        Ok(())
    }

    fn schemathesis(
        &self,
        tools: &Path,
        door: &str,
        role: &str,
        examples: &str,
    ) -> Result<(), String> {
        let identity = self.identity(role);
        let mut tool = Command::new(tools.join("schemathesis"));
        // It leaves its findings where it is started.
        tool.current_dir(&self.data);
        let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/conformance/schemathesis.toml");
        let hooks = concat!(env!("CARGO_MANIFEST_DIR"), "/conformance/hooks.py");
        tool.args(["--config-file", rules]).env("SCHEMATHESIS_HOOKS", hooks);
        tool.args(["run", &format!("https://{door}/openapi.json"), "--tls-verify", "false"]);
        tool.arg("--request-cert").arg(identity.join("svid.pem"));
        tool.arg("--request-cert-key").arg(identity.join("svid.key"));
        tool.args(["--checks", "all", "--max-examples", examples, "--workers", "2"]);
        tool.args(["--no-color", "--continue-on-failure", "--request-timeout", "20"]);
        // It would write its database of examples beside the configuration.
        tool.args(["--generation-database", "none"]).env("PYTHONDONTWRITEBYTECODE", "1");
        tool.env("HYPOTHESIS_STORAGE_DIRECTORY", self.data.join("hypothesis"));
        run(&mut tool)
    }

    /// Only TLS 1.3, no early data, no resumption, as an independent scanner sees it.
    fn sslyze(&self, tools: &Path, door: &str) -> Result<(), String> {
        let identity = self.identity("registry");
        let found = self.data.join("sslyze.json");
        let mut tool = Command::new(tools.join("sslyze"));
        tool.arg("--cert").arg(identity.join("svid.pem"));
        tool.arg("--key").arg(identity.join("svid.key"));
        tool.arg("--json_out").arg(&found);
        tool.args(["--mozilla_config", "disable", "--sslv2", "--sslv3", "--tlsv1", "--tlsv1_1"]);
        tool.args(["--tlsv1_2", "--tlsv1_3", "--early_data", "--resum", "--reneg"]);
        tool.args(["--compression", "--heartbleed", "--openssl_ccs", "--robot", "--fallback"]);
        run(tool.arg(door))?;
        let text = fs::read_to_string(&found).map_err(|e| format!("{}: {e}", found.display()))?;
        judge_sslyze(&text)
    }

    /// What OpenSSL's own client is told.
    fn s_client(&self, door: &str) -> Result<(), String> {
        let identity = self.identity("registry");
        let told = |with_identity: bool, arguments: &[&str], said: &str| {
            let mut client = Command::new("openssl");
            client.args(["s_client", "-connect", door]).args(arguments);
            if with_identity {
                client.arg("-cert").arg(identity.join("svid.pem"));
                client.arg("-key").arg(identity.join("svid.key"));
            }
            talk(&mut client, said)
        };
        let ask = "GET /v1/me HTTP/1.1\r\nHost: frame\r\nConnection: close\r\n\r\n";
        let is_answered = |text: &str| text.contains("HTTP/1.1 200");
        let quiet = ["-quiet", "-tls1_3"];
        expect("with a certificate: answered", is_answered(&told(true, &quiet, ask)?))?;
        let bare = told(false, &quiet, ask)?;
        expect("without a certificate: no byte of HTTP", !bare.contains("HTTP/"))?;
        let old = told(true, &["-tls1_2"], ask)?;
        expect("TLS 1.2: refused", old.contains("alert") && !is_answered(&old))?;
        let session = self.data.join("session.pem").display().to_string();
        let first = told(true, &["-tls1_3", "-sess_out", &session], ask)?;
        let has_ticket = first.contains("Post-Handshake New Session Ticket");
        expect("no session ticket", is_answered(&first) && !has_ticket)?;
        let strange = told(true, &["-quiet", "-tls1_3", "-alpn", "smtp"], ask)?;
        expect("another protocol: refused", !is_answered(&strange))
    }
}

fn expect(what: &str, holds: bool) -> Result<(), String> {
    println!("{} {what}", if holds { "ok    " } else { "FAILED" });
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

/// Says `said` to a program and returns everything that it prints.
fn talk(client: &mut Command, said: &str) -> Result<String, String> {
    use std::io::Write as _;
    let started = client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = started.spawn().map_err(|e| format!("openssl does not start: {e}"))?;
    let stdin = child.stdin.take();
    let teller = stdin.map(|mut stdin| {
        let said = said.to_owned();
        std::thread::spawn(move || {
            // A server that hangs up first is what is being looked for.
            let _ = stdin.write_all(said.as_bytes());
            std::thread::sleep(std::time::Duration::from_secs(2));
        })
    });
    let done = child.wait_with_output().map_err(|e| e.to_string())?;
    if let Some(teller) = teller {
        let _ = teller.join();
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(text(&done.stdout) + &text(&done.stderr))
}

/// What a clean report of sslyze says.
const CLEAN: &[(&str, &str)] = &[
    ("no early data", "\"supports_early_data\":false"),
    ("no compression", "\"supports_compression\":false"),
    ("no heartbleed", "\"is_vulnerable_to_heartbleed\":false"),
    ("no CCS injection", "\"is_vulnerable_to_ccs_injection\":false"),
    ("no client renegotiation", "\"is_vulnerable_to_client_renegotiation_dos\":false"),
    ("no resumption", "\"session_id_resumption_result\":\"SERVER_IS_TLS_1_3_ONLY\""),
    ("no ticket resumption", "\"tls_ticket_resumption_result\":\"SERVER_IS_TLS_1_3_ONLY\""),
];

/// Reads sslyze's report without knowing all of it: what must not be there is named.
fn judge_sslyze(report: &str) -> Result<(), String> {
    let compact: String = report.chars().filter(|c| !c.is_whitespace()).collect();
    let accepted = |protocol: &str| {
        let start = compact.find(&format!("\"{protocol}_cipher_suites\":"));
        let rest = start.and_then(|at| compact.get(at..)).unwrap_or_default();
        let list = rest.find("\"accepted_cipher_suites\":[");
        let rest = list.and_then(|at| rest.get(at + 26..));
        let rest = rest.ok_or_else(|| format!("the report says nothing of {protocol}"))?;
        Ok::<bool, String>(!rest.starts_with(']'))
    };
    for old in ["ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1", "tls_1_2"] {
        expect(&format!("{old}: nothing accepted"), !accepted(old)?)?;
    }
    expect("tls_1_3: accepted", accepted("tls_1_3")?)?;
    // Each must be said, so that a scan that did not run is no clean bill.
    for (what, finding) in CLEAN {
        expect(what, compact.contains(finding))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_of_sslyze_is_judged() {
        let suites = |protocol: &str, accepted: &str| {
            format!("\"{protocol}_cipher_suites\": {{\"accepted_cipher_suites\": [{accepted}]}}")
        };
        let old = ["ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1", "tls_1_2"];
        let mut said: Vec<String> = old.iter().map(|protocol| suites(protocol, "")).collect();
        said.push(suites("tls_1_3", "{}"));
        said.extend(CLEAN.iter().map(|(_, finding)| (*finding).to_owned()));
        let clean = said.join(", ");
        assert_eq!(judge_sslyze(&clean), Ok(()));
        let early = clean.replace("early_data\":false", "early_data\":true");
        assert_eq!(judge_sslyze(&early), Err("no early data".to_owned()));
        let silent = clean.replace("supports_compression", "says_nothing");
        assert_eq!(judge_sslyze(&silent), Err("no compression".to_owned()));
        let unscanned = clean.replace("tls_1_0_", "tls_9_");
        assert!(judge_sslyze(&unscanned).is_err());
    }
}
