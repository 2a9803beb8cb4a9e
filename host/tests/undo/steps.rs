//! What guests do: every call that changes files, by numbers that a failing case shrinks well.

use crate::trees::{POOL, TARGETS, any_path, any_size, bytes};
use proptest::prelude::*;
use std::time::Duration;
use unship_host::gate::{CallFault, FsFault, Gate, NewTime, Node, Open, Stop};

#[derive(Debug, Clone)]
pub enum Op {
    /// Create, truncate, write, close.
    Put {
        path: u8,
        size: u32,
        seed: u8,
    },
    Open {
        path: u8,
        create: bool,
        truncate: bool,
        follow: bool,
    },
    Write {
        handle: u8,
        at: u32,
        size: u32,
        seed: u8,
    },
    Append {
        handle: u8,
        size: u32,
        seed: u8,
    },
    SetSize {
        handle: u8,
        size: u32,
    },
    HandleTimes {
        handle: u8,
        time: u8,
    },
    Close {
        handle: u8,
    },
    Unlink {
        path: u8,
    },
    Rmdir {
        path: u8,
    },
    Mkdir {
        path: u8,
    },
    Rename {
        from: u8,
        to: u8,
    },
    Link {
        from: u8,
        to: u8,
        follow: bool,
    },
    Symlink {
        target: u8,
        path: u8,
    },
    Times {
        path: u8,
        time: u8,
        follow: bool,
    },
    Replace {
        target: u8,
        source: u8,
    },
    SetAside {
        path: u8,
    },
    Clear {
        path: u8,
    },
    Edit {
        path: u8,
        to: u8,
    },
    /// The restore point `qa`: how it is, and restored.
    Status,
    Restore,
}

pub type Step = Vec<Op>;

pub fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(proptest::collection::vec(any_op(), 0..9), 1..4)
}

fn any_op() -> impl Strategy<Value = Op> {
    let two = || (any_path(), any_path());
    let handle = || 0..4u8;
    let offset = prop_oneof![4 => 0..400u32, 1 => 0..300_000u32, 1 => 1_000_000..1_200_000u32];
    let files = prop_oneof![
        (any_path(), any_size(), 1..9u8).prop_map(|(path, size, seed)| Op::Put { path, size, seed }),
        (any_path(), any::<bool>(), proptest::bool::weighted(0.2), any::<bool>())
            .prop_map(|(path, create, truncate, follow)| Op::Open { path, create, truncate, follow }),
        (handle(), offset, any_size(), 1..9u8).prop_map(|(handle, at, size, seed)| Op::Write {
            handle,
            at,
            size,
            seed
        }),
        (handle(), any_size(), 1..9u8).prop_map(|(handle, size, seed)| Op::Append { handle, size, seed }),
        (handle(), any_size()).prop_map(|(handle, size)| Op::SetSize { handle, size }),
        (handle(), 0..3u8).prop_map(|(handle, time)| Op::HandleTimes { handle, time }),
        handle().prop_map(|handle| Op::Close { handle }),
    ];
    let names = prop_oneof![
        2 => any_path().prop_map(|path| Op::Unlink { path }),
        1 => any_path().prop_map(|path| Op::Rmdir { path }),
        2 => any_path().prop_map(|path| Op::Mkdir { path }),
        4 => two().prop_map(|(from, to)| Op::Rename { from, to }),
        2 => (any_path(), any_path(), any::<bool>()).prop_map(|(from, to, follow)| Op::Link { from, to, follow }),
        1 => (0..TARGETS.len() as u8, any_path()).prop_map(|(target, path)| Op::Symlink { target, path }),
        1 => (any_path(), 0..3u8, any::<bool>()).prop_map(|(path, time, follow)| Op::Times { path, time, follow }),
    ];
    let verbs = prop_oneof![
        two().prop_map(|(target, source)| Op::Replace { target, source }),
        any_path().prop_map(|path| Op::SetAside { path }),
        any_path().prop_map(|path| Op::Clear { path }),
        (any_path(), 0..3u8).prop_map(|(path, to)| Op::Edit { path, to }),
    ];
    prop_oneof![5 => files, 5 => names, 3 => verbs]
}

fn time(number: u8) -> NewTime {
    match number {
        0 => NewTime::Now,
        1 => NewTime::At(Duration::new(77, 123_456_789)),
        _ => NewTime::At(Duration::from_secs(1_500_000_000)),
    }
}

/// What the guest was told, call by call: as much of it as planning and running must agree on.
pub type Told = Vec<String>;

/// Makes the calls, an error number being nothing to stop for; `between` is called after each that did something.
pub fn play(gate: &mut Gate, step: &[Op], told: &mut Told, between: &dyn Fn()) -> Result<(), Stop> {
    let root = gate.preopens().first().map(|(node, _)| *node).ok_or(Stop::Interrupted)?;
    let mut handles = Vec::new();
    for op in step {
        match call(gate, root, &mut handles, op) {
            Ok(answer) => {
                let is_done = !answer.starts_with('-');
                told.push(format!("{op:?}: {answer}"));
                if is_done {
                    between();
                }
            }
            Err(CallFault::Stop(stop)) => return Err(stop),
            Err(CallFault::Refused(refusal)) => told.push(format!("{op:?}: {refusal:?}")),
        }
    }
    Ok(())
}

fn call(gate: &mut Gate, root: Node, handles: &mut Vec<Node>, op: &Op) -> Result<String, CallFault> {
    let at = |path: &u8| POOL[usize::from(*path)];
    let named = |path: &u8| format!("site:{}", at(path));
    let held = |handle: &u8| handles.get(usize::from(*handle) % handles.len().max(1)).copied();
    let done = |result: Result<(), FsFault>| match result {
        Err(FsFault::Errno(e)) => Ok(format!("- {e:?}")),
        Err(FsFault::Stop(stop)) => Err(stop.into()),
        Ok(()) => Ok("done".to_owned()),
    };
    match op {
        Op::Put { path, size, seed } => done((|| {
            let how = Open { create: true, truncate: true, write: true, ..Open::default() };
            let node = gate.open_at(root, at(path), true, how)?;
            let written = gate.write(node, &bytes(*size as usize, *seed), 0).map(drop);
            let closed = gate.close(node).map_err(FsFault::from);
            written.and(closed)
        })()),
        Op::Open { path, create, truncate, follow } => {
            let how = Open { create: *create, truncate: *truncate, read: true, write: true, ..Open::default() };
            let opened = gate.open_at(root, at(path), *follow, how).map(|node| handles.push(node));
            done(opened)
        }
        Op::Write { handle, at, size, seed } => match held(handle) {
            Some(node) => done(gate.write(node, &bytes(*size as usize, *seed), u64::from(*at)).map(drop)),
            None => Ok("- no handle".to_owned()),
        },
        Op::Append { handle, size, seed } => match held(handle) {
            Some(node) => done(gate.append(node, &bytes(*size as usize, *seed)).map(drop)),
            None => Ok("- no handle".to_owned()),
        },
        Op::SetSize { handle, size } => match held(handle) {
            Some(node) => done(gate.set_size(node, u64::from(*size))),
            None => Ok("- no handle".to_owned()),
        },
        Op::HandleTimes { handle, time: number } => match held(handle) {
            Some(node) => done(gate.set_times(node, NewTime::Keep, time(*number))),
            None => Ok("- no handle".to_owned()),
        },
        Op::Close { handle } => match held(handle) {
            Some(node) => {
                handles.retain(|other| *other != node);
                gate.close(node)?;
                Ok("closed".to_owned())
            }
            None => Ok("- no handle".to_owned()),
        },
        Op::Unlink { path } => done(gate.unlink_file_at(root, at(path))),
        Op::Rmdir { path } => done(gate.remove_directory_at(root, at(path))),
        Op::Mkdir { path } => done(gate.create_directory_at(root, at(path))),
        Op::Rename { from, to } => done(gate.rename_at(root, at(from), root, at(to))),
        Op::Link { from, to, follow } => done(gate.link_at(root, at(from), *follow, root, at(to))),
        Op::Symlink { target, path } => done(gate.symlink_at(TARGETS[usize::from(*target)], root, at(path))),
        Op::Times { path, time: number, follow } => {
            done(gate.set_times_at(root, at(path), *follow, NewTime::Keep, time(*number)))
        }
        Op::Replace { target, source } => {
            gate.files_replace(&named(target), &named(source)).map(|()| "done".to_owned())
        }
        Op::SetAside { path } => gate.files_set_aside(&named(path)),
        Op::Clear { path } => gate.files_clear(&named(path)).map(|entries| format!("{entries} entries")),
        Op::Status => {
            gate.git_status("qa").map(|s| format!("differ {:?} uncommitted {:?}", s.differing, s.uncommitted))
        }
        Op::Restore => gate.git_restore("qa").map(|count| format!("{count} restored")),
        Op::Edit { path, to } => {
            let value = [r#""two""#, r#""three""#, r#""one""#][usize::from(*to)];
            let edited = gate.files_edit(&named(path), "/x", r#""one""#, value);
            edited.map(|()| "done".to_owned())
        }
    }
}
