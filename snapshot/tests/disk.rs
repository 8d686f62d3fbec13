//! A directory in memory that stops at a chosen step, and tells what a crash there leaves.
//! It refuses to be clever: what was not synced is lost with the crash.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use protocol::Sequence;
use snapshot::{Catalogue, FileRead, FileWrite, Files, Meta, Reader, SnapshotError};

pub(crate) const FRAME: u128 = 7;

pub(crate) fn meta(sequence: u64) -> Meta {
    Meta {
        frame: FRAME,
        sequence: Sequence(sequence),
        index: sequence / 2 + 1,
        epoch: 1,
        timestamp_ns: 1_000 * sequence,
        chain_hash: [3; 32],
        run_digest: [4; 16],
        image_digest: [5; 32],
    }
}

/// A body of `len` bytes that differ.
pub(crate) fn body(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 / 7) as u8).collect()
}

/// Takes the snapshot of `sequence` with this body.
pub(crate) fn take(
    catalogue: &Catalogue,
    sequence: u64,
    body: &[u8],
) -> Result<String, SnapshotError> {
    let hand_over = |sink: &mut dyn FnMut(&[u8])| body.chunks(1_000).for_each(sink);
    catalogue.create(&meta(sequence), hand_over, |reader| {
        let mut read = vec![0; body.len()];
        reader.fill(&mut read)?;
        if read == body { Ok(()) } else { Err("other bytes".into()) }
    })
}

/// The whole body of a snapshot.
pub(crate) fn read(catalogue: &Catalogue, name: &str) -> Result<Vec<u8>, SnapshotError> {
    let mut reader: Reader = catalogue.open(name)?;
    let mut bytes = vec![0; reader.left() as usize];
    reader.fill(&mut bytes)?;
    reader.finish()?;
    Ok(bytes)
}

/// Content of a file now, and after a crash.
#[derive(Clone, Debug, Default)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
}

type Shared = Rc<RefCell<Content>>;

/// See the module.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    names: Rc<RefCell<BTreeMap<String, Shared>>>,
    /// Names after a crash.
    durable: Rc<RefCell<BTreeMap<String, Shared>>>,
    /// Steps that may still be done; `None` without a limit.
    steps: Rc<Cell<Option<u64>>>,
    /// Bytes of one file at the most.
    room: Rc<Cell<Option<usize>>>,
}

impl Disk {
    pub(crate) fn catalogue(&self) -> Catalogue {
        Catalogue::new(self.clone(), FRAME)
    }

    pub(crate) fn stop_after(&self, steps: Option<u64>) {
        self.steps.set(steps);
    }

    pub(crate) fn limit(&self, bytes: Option<usize>) {
        self.room.set(bytes);
    }

    /// What is there after the power came back.
    pub(crate) fn crashed(&self) -> Self {
        let after = Self::default();
        for (name, content) in self.durable.borrow().iter() {
            let durable = content.borrow().durable.clone();
            let content = Content { now: durable.clone(), durable };
            let content = Rc::new(RefCell::new(content));
            after.names.borrow_mut().insert(name.clone(), content);
        }
        let names = after.names.borrow().clone();
        after.durable.replace(names);
        after
    }

    pub(crate) fn edit(&self, name: &str, edit: impl FnOnce(&mut Vec<u8>)) {
        edit(&mut self.names.borrow()[name].borrow_mut().now);
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.names.borrow().keys().cloned().collect()
    }

    fn step(&self) -> io::Result<()> {
        match self.steps.get() {
            Some(0) => Err(io::Error::other("the power went")),
            Some(steps) => {
                self.steps.set(Some(steps - 1));
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn missing() -> io::Error {
        io::ErrorKind::NotFound.into()
    }
}

impl Files for Disk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn FileWrite>> {
        self.step()?;
        let content = Shared::default();
        let before = self.names.borrow_mut().insert(name.to_owned(), Rc::clone(&content));
        assert!(before.is_none(), "no file is overwritten");
        Ok(Box::new(Open { disk: self.clone(), content }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn FileRead>> {
        let content = self.names.borrow().get(name).cloned().ok_or_else(Self::missing)?;
        Ok(Box::new(Open { disk: self.clone(), content }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.step()?;
        let mut names = self.names.borrow_mut();
        let content = names.remove(from).ok_or_else(Self::missing)?;
        names.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.step()?;
        self.names.borrow_mut().remove(name).map(drop).ok_or_else(Self::missing)
    }

    fn sync(&self) -> io::Result<()> {
        self.step()?;
        self.durable.replace(self.names.borrow().clone());
        Ok(())
    }

    fn place(&self, name: &str) -> String {
        format!("memory/{name}")
    }
}

struct Open {
    disk: Disk,
    content: Shared,
}

impl FileWrite for Open {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.step()?;
        let end = offset as usize + bytes.len();
        if self.disk.room.get().is_some_and(|room| end > room) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let now = &mut self.content.borrow_mut().now;
        let len = now.len().max(end);
        now.resize(len, 0);
        now[offset as usize..end].copy_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.step()?;
        let mut content = self.content.borrow_mut();
        content.durable = content.now.clone();
        Ok(())
    }
}

impl FileRead for Open {
    fn bytes(&self) -> u64 {
        self.content.borrow().now.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let content = self.content.borrow();
        let from = content.now.get(offset as usize..).unwrap_or_default();
        let from = from.get(..buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(from);
        Ok(())
    }
}
