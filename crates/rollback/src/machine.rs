//! What the machine says about itself, as text: lines of `/proc`, the list of pm2. Whoever reads them gives the bytes; the
//! sandbox's providers and the daemon's sources read the same things and must understand them alike.

use serde::Deserialize;

/// A thread of the kernel: never a program.
const PF_KTHREAD: u64 = 0x0020_0000;

/// `/proc/PID/stat`, as far as anybody here needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessStat {
    /// Its process id.
    pub pid: u32,
    /// Its parent's.
    pub parent: u32,
    /// Its process group.
    pub group: u32,
    /// Its session.
    pub session: u32,
    /// When it started, in clock ticks since boot: with the pid it names one process for good.
    pub start_time: u64,
    /// Pages that it has in memory, those that it shares with others included.
    pub resident_pages: u64,
    /// Dead, or never a program: a zombie without living threads, or a thread of the kernel.
    pub is_no_program: bool,
}

impl ProcessStat {
    /// Reads the line. The program's name, its second field, may hold spaces and parentheses; the last `)` ends it.
    pub fn parse(line: &[u8]) -> Option<ProcessStat> {
        let name_end = line.iter().rposition(|b| *b == b')')?;
        let pid = str::from_utf8(line.split(|b| *b == b' ').next()?).ok()?.parse().ok()?;
        let rest = str::from_utf8(&line[name_end + 1..]).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // Field numbers of proc(5), which count the pid as 1 and the name as 2.
        let field = |number: usize| fields.get(number - 3).copied();
        let number = |n: usize| field(n)?.parse::<u64>().ok();
        let (threads, flags) = (number(20)?, number(9)?);
        let is_gone = match field(3)? {
            "Z" => threads <= 1,
            state => matches!(state, "X" | "x"),
        };
        Some(ProcessStat {
            pid,
            parent: field(4)?.parse().ok()?,
            group: field(5)?.parse().ok()?,
            session: field(6)?.parse().ok()?,
            start_time: number(22)?,
            resident_pages: number(24)?,
            is_no_program: is_gone || flags & PF_KTHREAD != 0,
        })
    }
}

/// The arguments in `/proc/PID/cmdline`, the program's own name first; none when the process is gone.
pub fn arguments(line: &[u8]) -> Vec<&[u8]> {
    let line = line.strip_suffix(b"\0").unwrap_or(line);
    if line.is_empty() { Vec::new() } else { line.split(|b| *b == 0).collect() }
}

/// Whether `wanted` stand next to each other behind the program's name.
pub fn has_arguments<A: AsRef<[u8]>>(arguments: &[A], wanted: &[String]) -> bool {
    let own = arguments.get(1..).unwrap_or_default();
    let is_window = |window: &[A]| window.iter().zip(wanted).all(|(a, b)| a.as_ref() == b.as_bytes());
    wanted.is_empty() || own.windows(wanted.len()).any(is_window)
}

/// The part of the memory that is in use, from `/proc/meminfo`: what is not available to a new program.
pub fn used_memory(text: &str) -> Option<f64> {
    let kib = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix(" kB")?.parse::<f64>().ok()
    };
    let (total, available) = (kib("MemTotal")?, kib("MemAvailable")?);
    (total > 0.0).then(|| ((total - available) / total).clamp(0.0, 1.0))
}

/// One process in the list of pm2 (`pm2 jlist`). The rest of an entry, with its secrets, is not even kept.
#[derive(Debug, Clone, Deserialize)]
pub struct Pm2Process {
    /// What it is called in pm2.
    pub name: String,
    /// pm2's own number for it.
    pub pm_id: u32,
    /// Of the running process.
    pub pid: Option<u32>,
    /// How it is.
    pub pm2_env: Pm2State,
}

/// How a process of pm2's is.
#[derive(Debug, Clone, Deserialize)]
pub struct Pm2State {
    /// A word of pm2's, such as `online`.
    pub status: String,
    /// How often pm2 started it again.
    pub restart_time: u64,
    /// Milliseconds since the epoch: its last start.
    pub pm_uptime: Option<u64>,
}

/// Reads what `pm2 jlist` printed: one JSON list and nothing else.
///
/// # Errors
/// It is none.
pub fn pm2_list(printed: &[u8]) -> Result<Vec<Pm2Process>, serde_json::Error> {
    serde_json::from_slice(printed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_process_is_read_whatever_its_program_is_called() {
        let line = b"42 (x) S 1 (y z)) R 7 8 9 0 -1 4194304 1 1 1 1 1 1 1 1 20 0 3 0 123456 1 77\n";
        let stat = ProcessStat::parse(line).expect("a line");
        assert_eq!((stat.pid, stat.parent, stat.group, stat.session), (42, 7, 8, 9));
        assert_eq!((stat.start_time, stat.resident_pages, stat.is_no_program), (123_456, 77, false));
        assert_eq!(ProcessStat::parse(b"42 (x"), None);
        assert_eq!(ProcessStat::parse(b"42 (x) R 1 2"), None);
        let kernel = b"2 (k) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 1 0 0";
        assert!(ProcessStat::parse(kernel).is_some_and(|s| s.is_no_program));
    }

    #[test]
    fn arguments_are_meant_when_they_stand_next_to_each_other() {
        let line = arguments(b"/usr/bin/python3\0-m\0pyairbyte\0--cache\0x\0");
        let wanted = |all: &[&str]| all.iter().map(|a| (*a).to_owned()).collect::<Vec<_>>();
        assert!(has_arguments(&line, &wanted(&["-m", "pyairbyte"])) && has_arguments(&line, &[]));
        assert!(!has_arguments(&line, &wanted(&["-m", "--cache"])), "not next to each other");
        assert!(!has_arguments(&line, &wanted(&["/usr/bin/python3"])), "the program's own name is no argument");
        assert_eq!(arguments(b""), Vec::<&[u8]>::new());
    }

    #[test]
    fn memory_in_use_is_what_is_not_available() {
        let text = "MemTotal:        1000 kB\nMemFree:           10 kB\nMemAvailable:     250 kB\n";
        assert_eq!(used_memory(text), Some(0.75));
        for bad in
            ["", "MemTotal: 1000 kB\n", "MemTotal: 0 kB\nMemAvailable: 0 kB\n", "MemTotal: x kB\nMemAvailable: 1 kB"]
        {
            assert_eq!(used_memory(bad), None, "{bad}");
        }
    }

    #[test]
    fn of_pm2s_list_only_what_is_needed_is_kept() {
        let list = br#"[{"name":"api","pm_id":3,"pid":9,"pm2_env":{"status":"online","restart_time":4,"SECRET":"x"}}]"#;
        let all = pm2_list(list).expect("a list");
        assert_eq!((all[0].name.as_str(), all[0].pm_id, all[0].pm2_env.restart_time), ("api", 3, 4));
        assert!(pm2_list(b"[PM2] Spawning\n[]").is_err(), "a notice is no list");
    }
}
