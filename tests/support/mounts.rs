//! File systems of a test's own, in a mount namespace that ends with the test.

use std::path::Path;

/// Runs `test` in a thread whose mounts are its own, with a tmpfs of `bytes` in a folder. Says so and does nothing where
/// this machine does not let us mount.
pub fn with_tmpfs(name: &str, bytes: usize, test: impl FnOnce(&Path) + Send) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mounted = |path: &Path| -> std::io::Result<()> {
        // SAFETY: no memory is shared with the kernel beyond the call; only this thread's view of the mounts changes.
        if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
            return Err(std::io::Error::last_os_error());
        }
        mount(None, Path::new("/"), libc::MS_REC | libc::MS_PRIVATE, "")?;
        mount(Some("tmpfs"), path, 0, &format!("size={bytes},mode=755"))
    };
    std::thread::scope(|scope| {
        let done = scope.spawn(|| match mounted(folder.path()) {
            Ok(()) => test(folder.path()),
            Err(e) => println!("skipped, {name}: this machine does not let the test mount a file system ({e})"),
        });
        if let Err(panic) = done.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Mounts `kind`, or changes a mount.
///
/// # Errors
/// What the system says.
pub fn mount(kind: Option<&str>, target: &Path, flags: libc::c_ulong, data: &str) -> std::io::Result<()> {
    let text = |t: &str| std::ffi::CString::new(t).expect("no NUL");
    let kind = kind.map(text);
    let kind = kind.as_ref().map_or(std::ptr::null(), |k| k.as_ptr());
    let (target, data) = (text(target.to_str().expect("UTF-8")), text(data));
    // SAFETY: all pointers are to NUL-terminated texts that outlive the call, or null.
    let failed = unsafe { libc::mount(kind, target.as_ptr(), kind, flags, data.as_ptr().cast()) };
    if failed == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}
