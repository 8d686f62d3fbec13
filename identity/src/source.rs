//! Material from a directory, read again when it changes.
//!
//! Refuses a set that does not fit together, and then keeps the last good one:
//! whoever writes the files cannot replace several of them at one moment.
//! Never polls by itself; its owner calls `reload_if_changed`.
//! Invariant: `current` is always a complete set of one trust domain.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::bundle::{BundleError, DenyError, DenyList, TrustBundle};
use crate::files::{self, FileError};
use crate::limits::TRUST_DOMAINS_MAX;
use crate::material::{Material, MaterialError, Source};
use crate::spiffe_id::{SpiffeIdError, TrustDomain};

/// The own certificate chain, leaf first.
pub const SVID_FILE: &str = "svid.pem";
/// The own private key, mode 0600.
pub const KEY_FILE: &str = "svid.key";
/// The authorities of the own trust domain.
pub const BUNDLE_FILE: &str = "bundle.pem";
/// Directory of `<trust domain>.pem`, one bundle for each federated domain.
pub const FEDERATED_DIR: &str = "federated";
/// Denied SPIFFE IDs and principals, one a line; may be missing.
pub const DENY_FILE: &str = "deny.txt";

/// Material from a directory, as a certificate-writing sidecar leaves it.
pub struct FileSource {
    dir: PathBuf,
    current: ArcSwap<Material>,
    seen: Mutex<Stamp>,
}

impl FileSource {
    /// Reads the directory for the first time.
    ///
    /// # Errors
    /// The file that is missing, unsafe or malformed.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, SourceError> {
        let dir = dir.into();
        // Stamp before reading: a change in between shows as a difference later.
        let stamp = Stamp::take(&dir)?;
        let material = load(&dir)?;
        Ok(Self { dir, current: ArcSwap::from_pointee(material), seen: Mutex::new(stamp) })
    }

    /// Returns the newest good material.
    #[must_use]
    pub fn current(&self) -> Arc<Material> {
        self.current.load_full()
    }

    /// Reads the directory again if a file of it changed; tells whether it did.
    ///
    /// # Errors
    /// The new set is refused. The last good one stays current, and the next
    /// call tries again.
    pub fn reload_if_changed(&self) -> Result<bool, SourceError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = Stamp::take(&self.dir)?;
        if stamp == *seen {
            return Ok(false);
        }
        let material = load(&self.dir)?;
        // Roles were given relative to the own trust domain, so it cannot change under them.
        if material.trust_domain() != self.current.load().trust_domain() {
            return Err(SourceError::TrustDomainChanged);
        }
        tracing::info!(spiffe_id = %material.spiffe_id(), "identity material reloaded");
        self.current.store(Arc::new(material));
        *seen = stamp;
        Ok(true)
    }
}

impl Source for FileSource {
    fn current(&self) -> Arc<Material> {
        Self::current(self)
    }
}

fn load(dir: &Path) -> Result<Material, SourceError> {
    let svid = files::read(&dir.join(SVID_FILE))?;
    let key = files::read_secret(&dir.join(KEY_FILE))?;
    let bundle = files::read(&dir.join(BUNDLE_FILE))?;
    let mut material = Material::from_pem(&svid, &key, &bundle)?;
    for path in federated_files(dir)? {
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let trust_domain = TrustDomain::parse(name)
            .map_err(|cause| SourceError::FederatedName { path: path.clone(), cause })?;
        let bundle = TrustBundle::from_pem(trust_domain, &files::read(&path)?)?;
        material = material.with_federated(bundle)?;
    }
    let path = dir.join(DENY_FILE);
    let denied = match files::read(&path) {
        Ok(bytes) => {
            let text = std::str::from_utf8(&bytes).map_err(|_| SourceError::DenyNotText)?;
            DenyList::parse(text)?
        }
        Err(FileError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            DenyList::default()
        }
        Err(error) => return Err(error.into()),
    };
    Ok(material.with_denied(denied))
}

/// The bundle files of federated domains, in order; a missing directory has none.
fn federated_files(dir: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let dir = dir.join(FEDERATED_DIR);
    let entries = match std::fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(FileError::io(&dir, source).into()),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|source| FileError::io(&dir, source))?.path();
        if path.extension().is_some_and(|extension| extension == "pem") {
            paths.push(path);
        }
        if paths.len() > TRUST_DOMAINS_MAX {
            return Err(BundleError::TooManyDomains.into());
        }
    }
    paths.sort();
    Ok(paths)
}

/// What tells a changed directory from an unchanged one, without reading it.
#[derive(Eq, PartialEq)]
struct Stamp(Vec<(PathBuf, Option<FileStamp>)>);

#[derive(Eq, PartialEq)]
struct FileStamp {
    len: u64,
    modified: Option<std::time::SystemTime>,
    inode: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn take(dir: &Path) -> Result<Self, SourceError> {
        let names = [SVID_FILE, KEY_FILE, BUNDLE_FILE, DENY_FILE];
        let mut paths: Vec<PathBuf> = names.iter().map(|name| dir.join(name)).collect();
        paths.extend(federated_files(dir)?);
        let stamps = paths.into_iter().map(|path| {
            // A file that cannot be seen has no stamp; reading it tells why.
            let stamp = std::fs::metadata(&path).ok().map(|metadata| FileStamp::of(&metadata));
            (path, stamp)
        });
        Ok(Self(stamps.collect()))
    }
}

impl FileStamp {
    fn of(metadata: &std::fs::Metadata) -> Self {
        #[cfg(unix)]
        let (inode, changed) = {
            use std::os::unix::fs::MetadataExt;
            (metadata.ino(), (metadata.ctime(), metadata.ctime_nsec()))
        };
        #[cfg(not(unix))]
        let (inode, changed) = (0, (0, 0));
        Self { len: metadata.len(), modified: metadata.modified().ok(), inode, changed }
    }
}

/// Why a directory is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// A file is missing, unsafe or too large.
    #[error(transparent)]
    File(#[from] FileError),
    /// The own SVID, key or a bundle is refused.
    #[error(transparent)]
    Material(#[from] MaterialError),
    /// A federated bundle is refused.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The name of a federated bundle is no trust domain.
    #[error("{} is not named after a trust domain: {cause}", path.display())]
    FederatedName {
        /// The file.
        path: PathBuf,
        /// What is wrong with its name.
        cause: SpiffeIdError,
    },
    /// The deny list is refused.
    #[error(transparent)]
    Deny(#[from] DenyError),
    /// The deny list is not text.
    #[error("the deny list is not UTF-8; write it as plain text")]
    DenyNotText,
    /// The new SVID is of another trust domain.
    #[error("the own SVID changed its trust domain; restart to take on another identity")]
    TrustDomainChanged,
}
