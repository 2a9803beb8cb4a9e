//! `wasi:filesystem` over the gate: each function is one call, and translates.

use super::{
    bindings::host::wasi::filesystem::{preopens, types},
    state::{Descriptor, DirectoryEntries, OpenNode, StepState},
    streams::{FileReader, FileWriter},
};
use crate::gate::{FsFault, Gate, Kind, NewTime, Open, Stat, Stop};
use rustix::io::Errno;
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use types::{DescriptorFlags, DescriptorStat, DescriptorType, ErrorCode, NewTimestamp, OpenFlags, PathFlags};
use wasmtime::component::{Resource, ResourceTableError};
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;
use wasmtime_wasi_io::streams::{DynInputStream, DynOutputStream};

/// Bytes that one read or write of a descriptor moves at most; WASI allows both to be short.
pub(super) const PIECE_BYTES_MAX: usize = 64 * 1024;

/// How a call of `wasi:filesystem` fails: with an error code for the guest, or with the end of the step.
pub(super) enum FsError {
    Code(ErrorCode),
    Trap(wasmtime::Error),
}

type Fs<T> = Result<T, FsError>;

impl From<FsFault> for FsError {
    fn from(fault: FsFault) -> Self {
        match fault {
            FsFault::Errno(errno) => FsError::Code(error_code(errno)),
            FsFault::Stop(stop) => stop.into(),
        }
    }
}
impl From<Stop> for FsError {
    fn from(stop: Stop) -> Self {
        FsError::Trap(stop.into())
    }
}
impl From<ErrorCode> for FsError {
    fn from(code: ErrorCode) -> Self {
        FsError::Code(code)
    }
}
impl From<ResourceTableError> for FsError {
    fn from(error: ResourceTableError) -> Self {
        FsError::Trap(error.into())
    }
}

impl StepState {
    fn node(&self, fd: &Resource<Descriptor>) -> Result<Arc<OpenNode>, ResourceTableError> {
        Ok(Arc::clone(&self.table.get(fd)?.0))
    }

    /// One call of the gate about one descriptor.
    fn at<T, E>(
        &self,
        fd: &Resource<Descriptor>,
        call: impl FnOnce(&mut Gate, crate::gate::Node) -> Result<T, E>,
    ) -> Fs<T>
    where
        FsError: From<E>,
    {
        let open = self.table.get(fd)?;
        Ok(call(&mut self.shared.gate(), open.0.node)?)
    }

    /// The node, if it is a file.
    fn file(&self, fd: &Resource<Descriptor>, otherwise: ErrorCode) -> Fs<Arc<OpenNode>> {
        match self.at(fd, |gate, node| gate.kind(node))? {
            Kind::File => Ok(self.node(fd)?),
            _ => Err(otherwise.into()),
        }
    }

    /// The node, if it is a file that was opened for writing.
    fn writable(&self, fd: &Resource<Descriptor>) -> Fs<Arc<OpenNode>> {
        let file = self.file(fd, ErrorCode::BadDescriptor)?;
        match self.at(fd, |gate, node| gate.opened(node))?.write {
            true => Ok(file),
            false => Err(ErrorCode::BadDescriptor.into()),
        }
    }
}

impl preopens::Host for StepState {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        let mut directories = Vec::with_capacity(self.preopens.len());
        for (node, path) in &self.preopens {
            directories.push((self.table.push(Descriptor(Arc::clone(node)))?, path.clone()));
        }
        Ok(directories)
    }
}

impl types::Host for StepState {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<ErrorCode> {
        match error {
            FsError::Code(code) => Ok(code),
            FsError::Trap(trap) => Err(trap),
        }
    }

    fn filesystem_error_code(&mut self, error: Resource<wasmtime::Error>) -> wasmtime::Result<Option<ErrorCode>> {
        Ok(self.table.get(&error)?.downcast_ref::<Errno>().map(|errno| error_code(*errno)))
    }
}

impl types::HostDescriptor for StepState {
    fn read_via_stream(&mut self, fd: Resource<Descriptor>, offset: u64) -> Fs<Resource<DynInputStream>> {
        let file = self.file(&fd, ErrorCode::IsDirectory)?;
        let stream: DynInputStream = Box::new(FileReader::new(file, offset));
        Ok(self.table.push(stream)?)
    }

    fn write_via_stream(&mut self, fd: Resource<Descriptor>, offset: u64) -> Fs<Resource<DynOutputStream>> {
        let stream: DynOutputStream = Box::new(FileWriter::at(self.writable(&fd)?, offset));
        Ok(self.table.push(stream)?)
    }

    fn append_via_stream(&mut self, fd: Resource<Descriptor>) -> Fs<Resource<DynOutputStream>> {
        let stream: DynOutputStream = Box::new(FileWriter::append(self.writable(&fd)?));
        Ok(self.table.push(stream)?)
    }

    fn advise(&mut self, fd: Resource<Descriptor>, offset: u64, len: u64, _: types::Advice) -> Fs<()> {
        self.file(&fd, ErrorCode::BadDescriptor)?;
        match offset.checked_add(len).is_some_and(|end| i64::try_from(end).is_ok()) {
            true => Ok(()),
            false => Err(ErrorCode::Invalid.into()),
        }
    }

    fn sync_data(&mut self, fd: Resource<Descriptor>) -> Fs<()> {
        self.at(&fd, |gate, node| gate.sync(node, true))
    }

    fn get_flags(&mut self, fd: Resource<Descriptor>) -> Fs<DescriptorFlags> {
        let opened = self.at(&fd, |gate, node| gate.opened(node))?;
        let flag = |holds, flag| if holds { flag } else { DescriptorFlags::empty() };
        Ok(flag(opened.read, DescriptorFlags::READ)
            | flag(opened.write, DescriptorFlags::WRITE)
            | flag(opened.mutate_directory, DescriptorFlags::MUTATE_DIRECTORY)
            | self.node(&fd)?.durability)
    }

    fn get_type(&mut self, fd: Resource<Descriptor>) -> Fs<DescriptorType> {
        Ok(descriptor_type(self.at(&fd, |gate, node| gate.kind(node))?))
    }

    fn set_size(&mut self, fd: Resource<Descriptor>, size: u64) -> Fs<()> {
        self.file(&fd, ErrorCode::BadDescriptor)?;
        self.at(&fd, |gate, node| gate.set_size(node, size))
    }

    fn set_times(&mut self, fd: Resource<Descriptor>, accessed: NewTimestamp, modified: NewTimestamp) -> Fs<()> {
        let (accessed, modified) = (new_time(accessed)?, new_time(modified)?);
        self.at(&fd, |gate, node| gate.set_times(node, accessed, modified))
    }

    fn read(&mut self, fd: Resource<Descriptor>, length: u64, offset: u64) -> Fs<(Vec<u8>, bool)> {
        self.file(&fd, ErrorCode::BadDescriptor)?;
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(PIECE_BYTES_MAX);
        let bytes = self.at(&fd, |gate, node| gate.read(node, length, offset))?;
        let end = bytes.is_empty();
        Ok((bytes, end))
    }

    fn write(&mut self, fd: Resource<Descriptor>, mut buffer: Vec<u8>, offset: u64) -> Fs<u64> {
        let file = self.writable(&fd)?;
        buffer.truncate(PIECE_BYTES_MAX);
        Ok(file.write(&buffer, Some(offset))?)
    }

    fn read_directory(&mut self, fd: Resource<Descriptor>) -> Fs<Resource<DirectoryEntries>> {
        let directory = self.node(&fd)?;
        let listing = self.at(&fd, |gate, node| gate.list_open(node))?;
        let entries = DirectoryEntries { shared: Arc::clone(&self.shared), listing, _directory: directory };
        Ok(self.table.push(entries)?)
    }

    fn sync(&mut self, fd: Resource<Descriptor>) -> Fs<()> {
        self.at(&fd, |gate, node| gate.sync(node, false))
    }

    fn create_directory_at(&mut self, fd: Resource<Descriptor>, path: String) -> Fs<()> {
        self.at(&fd, |gate, node| gate.create_directory_at(node, &path))
    }

    fn stat(&mut self, fd: Resource<Descriptor>) -> Fs<DescriptorStat> {
        Ok(descriptor_stat(&self.at(&fd, |gate, node| gate.stat(node))?))
    }

    fn stat_at(&mut self, fd: Resource<Descriptor>, flags: PathFlags, path: String) -> Fs<DescriptorStat> {
        Ok(descriptor_stat(&self.at(&fd, |gate, node| gate.stat_at(node, &path, follow(flags)))?))
    }

    fn set_times_at(
        &mut self,
        fd: Resource<Descriptor>,
        flags: PathFlags,
        path: String,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> Fs<()> {
        let (accessed, modified) = (new_time(accessed)?, new_time(modified)?);
        self.at(&fd, |gate, node| gate.set_times_at(node, &path, follow(flags), accessed, modified))
    }

    fn link_at(
        &mut self,
        fd: Resource<Descriptor>,
        flags: PathFlags,
        path: String,
        new_fd: Resource<Descriptor>,
        new_path: String,
    ) -> Fs<()> {
        let new_base = self.node(&new_fd)?;
        self.at(&fd, |gate, node| gate.link_at(node, &path, follow(flags), new_base.node, &new_path))
    }

    fn open_at(
        &mut self,
        fd: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> Fs<Resource<Descriptor>> {
        let how = Open {
            create: open_flags.contains(OpenFlags::CREATE),
            directory: open_flags.contains(OpenFlags::DIRECTORY),
            exclusive: open_flags.contains(OpenFlags::EXCLUSIVE),
            truncate: open_flags.contains(OpenFlags::TRUNCATE),
            read: flags.contains(DescriptorFlags::READ),
            write: flags.contains(DescriptorFlags::WRITE),
            mutate_directory: flags.contains(DescriptorFlags::MUTATE_DIRECTORY),
        };
        let node = self.at(&fd, |gate, node| gate.open_at(node, &path, follow(path_flags), how))?;
        Ok(self.table.push(Descriptor(OpenNode::new(&self.shared, node, flags)))?)
    }

    fn readlink_at(&mut self, fd: Resource<Descriptor>, path: String) -> Fs<String> {
        self.at(&fd, |gate, node| gate.readlink_at(node, &path))
    }

    fn remove_directory_at(&mut self, fd: Resource<Descriptor>, path: String) -> Fs<()> {
        self.at(&fd, |gate, node| gate.remove_directory_at(node, &path))
    }

    fn rename_at(
        &mut self,
        fd: Resource<Descriptor>,
        path: String,
        new_fd: Resource<Descriptor>,
        new_path: String,
    ) -> Fs<()> {
        let new_base = self.node(&new_fd)?;
        self.at(&fd, |gate, node| gate.rename_at(node, &path, new_base.node, &new_path))
    }

    fn symlink_at(&mut self, fd: Resource<Descriptor>, target: String, path: String) -> Fs<()> {
        self.at(&fd, |gate, node| gate.symlink_at(&target, node, &path))
    }

    fn unlink_file_at(&mut self, fd: Resource<Descriptor>, path: String) -> Fs<()> {
        self.at(&fd, |gate, node| gate.unlink_file_at(node, &path))
    }

    fn is_same_object(&mut self, fd: Resource<Descriptor>, other: Resource<Descriptor>) -> wasmtime::Result<bool> {
        let identity = |fd| match self.at(fd, |gate, node| gate.stat(node)) {
            Ok(stat) => Ok(Some(stat.identity)),
            Err(FsError::Code(_)) => Ok(None),
            Err(FsError::Trap(trap)) => Err(trap),
        };
        let (one, two) = (identity(&fd)?, identity(&other)?);
        Ok(one.is_some() && one == two)
    }

    fn metadata_hash(&mut self, fd: Resource<Descriptor>) -> Fs<types::MetadataHashValue> {
        Ok(metadata_hash(self.at(&fd, |gate, node| gate.stat(node))?.identity))
    }

    fn metadata_hash_at(
        &mut self,
        fd: Resource<Descriptor>,
        flags: PathFlags,
        path: String,
    ) -> Fs<types::MetadataHashValue> {
        Ok(metadata_hash(self.at(&fd, |gate, node| gate.identity_at(node, &path, follow(flags)))?))
    }

    fn drop(&mut self, fd: Resource<Descriptor>) -> wasmtime::Result<()> {
        drop(self.table.delete(fd)?);
        Ok(self.shared.check()?)
    }
}

impl types::HostDirectoryEntryStream for StepState {
    fn read_directory_entry(&mut self, entries: Resource<DirectoryEntries>) -> Fs<Option<types::DirectoryEntry>> {
        let entries = self.table.get(&entries)?;
        let next = self.shared.gate().list_next(entries.listing)?;
        Ok(next.map(|entry| types::DirectoryEntry { type_: descriptor_type(entry.kind), name: entry.name }))
    }

    fn drop(&mut self, entries: Resource<DirectoryEntries>) -> wasmtime::Result<()> {
        drop(self.table.delete(entries)?);
        Ok(self.shared.check()?)
    }
}

fn follow(flags: PathFlags) -> bool {
    flags.contains(PathFlags::SYMLINK_FOLLOW)
}

fn descriptor_type(kind: Kind) -> DescriptorType {
    match kind {
        Kind::File => DescriptorType::RegularFile,
        Kind::Directory => DescriptorType::Directory,
        Kind::Symlink => DescriptorType::SymbolicLink,
        Kind::Other => DescriptorType::Unknown,
    }
}

fn descriptor_stat(stat: &Stat) -> DescriptorStat {
    DescriptorStat {
        type_: descriptor_type(stat.kind),
        link_count: stat.links,
        size: stat.size,
        data_access_timestamp: stat.accessed.and_then(datetime),
        data_modification_timestamp: stat.modified.and_then(datetime),
        status_change_timestamp: stat.changed.and_then(datetime),
    }
}

/// WASI has no times before 1970.
fn datetime(time: SystemTime) -> Option<Datetime> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(Datetime { seconds: since.as_secs(), nanoseconds: since.subsec_nanos() })
}

fn new_time(time: NewTimestamp) -> Fs<NewTime> {
    Ok(match time {
        NewTimestamp::NoChange => NewTime::Keep,
        NewTimestamp::Now => NewTime::Now,
        NewTimestamp::Timestamp(at) if at.nanoseconds < 1_000_000_000 => {
            NewTime::At(Duration::new(at.seconds, at.nanoseconds))
        }
        NewTimestamp::Timestamp(_) => return Err(ErrorCode::Invalid.into()),
    })
}

/// The gate's identity itself: stable within the step, which is all that WASI asks for.
fn metadata_hash((upper, lower): (u64, u64)) -> types::MetadataHashValue {
    types::MetadataHashValue { upper, lower }
}

/// WASI's name of an error of the system. What WASI has no name for is `io`.
fn error_code(errno: Errno) -> ErrorCode {
    match errno {
        Errno::ACCESS => ErrorCode::Access,
        Errno::AGAIN => ErrorCode::WouldBlock,
        Errno::ALREADY => ErrorCode::Already,
        Errno::BADF => ErrorCode::BadDescriptor,
        Errno::BUSY => ErrorCode::Busy,
        Errno::DEADLK => ErrorCode::Deadlock,
        Errno::DQUOT => ErrorCode::Quota,
        Errno::EXIST => ErrorCode::Exist,
        Errno::FBIG => ErrorCode::FileTooLarge,
        Errno::ILSEQ => ErrorCode::IllegalByteSequence,
        Errno::INPROGRESS => ErrorCode::InProgress,
        Errno::INTR => ErrorCode::Interrupted,
        Errno::INVAL => ErrorCode::Invalid,
        Errno::ISDIR => ErrorCode::IsDirectory,
        Errno::LOOP => ErrorCode::Loop,
        Errno::MLINK => ErrorCode::TooManyLinks,
        Errno::MSGSIZE => ErrorCode::MessageSize,
        Errno::NAMETOOLONG => ErrorCode::NameTooLong,
        Errno::NODEV => ErrorCode::NoDevice,
        Errno::NOENT => ErrorCode::NoEntry,
        Errno::NOLCK => ErrorCode::NoLock,
        Errno::NOMEM => ErrorCode::InsufficientMemory,
        Errno::NOSPC => ErrorCode::InsufficientSpace,
        Errno::NOSYS | Errno::NOTSUP => ErrorCode::Unsupported,
        Errno::NOTDIR => ErrorCode::NotDirectory,
        Errno::NOTEMPTY => ErrorCode::NotEmpty,
        Errno::NOTRECOVERABLE => ErrorCode::NotRecoverable,
        Errno::NOTTY => ErrorCode::NoTty,
        Errno::NXIO => ErrorCode::NoSuchDevice,
        Errno::OVERFLOW => ErrorCode::Overflow,
        Errno::PERM => ErrorCode::NotPermitted,
        Errno::PIPE => ErrorCode::Pipe,
        Errno::ROFS => ErrorCode::ReadOnly,
        Errno::SPIPE => ErrorCode::InvalidSeek,
        Errno::TXTBSY => ErrorCode::TextFileBusy,
        Errno::XDEV => ErrorCode::CrossDevice,
        _ => ErrorCode::Io,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denials_stay_denials() {
        for (errno, code) in [
            (Errno::ACCESS, ErrorCode::Access),
            (Errno::PERM, ErrorCode::NotPermitted),
            (Errno::NOENT, ErrorCode::NoEntry),
            (Errno::UNATCH, ErrorCode::Io),
        ] {
            assert_eq!(error_code(errno), code);
        }
    }

    #[test]
    fn a_time_stamp_with_too_many_nanoseconds_is_refused() {
        let at = Datetime { seconds: u64::MAX, nanoseconds: u32::MAX };
        assert!(matches!(new_time(NewTimestamp::Timestamp(at)), Err(FsError::Code(ErrorCode::Invalid))));
    }
}
