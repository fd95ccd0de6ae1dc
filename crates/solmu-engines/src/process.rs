//! Questions about processes that are not our children: leftovers of an earlier run.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use nix::{sys::signal::Signal, unistd::Pid};

/// What is left of a process id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Nothing.
    Gone,
    /// It has ended and nobody has asked how. `kill(pid, 0)` still finds it, so PostgreSQL takes it for alive.
    Zombie,
    /// It runs, or is stopped.
    Alive,
}

/// How often a condition is looked at again.
const POLL: Duration = Duration::from_millis(5);

/// Waits until `done`, for `limit` at most; says whether it was.
pub(crate) fn wait_until(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let begin = Instant::now();
    loop {
        if done() {
            return true;
        }
        if begin.elapsed() >= limit {
            return false;
        }
        std::thread::sleep(POLL);
    }
}

/// Sends `signal`; a process that is gone is no error.
pub(crate) fn send(pid: i32, signal: Signal) {
    if let Err(errno) = nix::sys::signal::kill(Pid::from_raw(pid), signal) {
        tracing::debug!(pid, %signal, %errno, "signal not delivered");
    }
}

#[cfg(target_os = "linux")]
mod table {
    use super::{Condition, Path};
    use std::{fs, os::unix::ffi::OsStrExt as _};

    pub(crate) fn condition(pid: i32) -> Condition {
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
            return Condition::Gone;
        };
        // The state follows the name, which stands in brackets and may itself hold brackets.
        match stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.trim_start().chars().next())
        {
            None | Some('X') => Condition::Gone,
            Some('Z') => Condition::Zombie,
            Some(_) => Condition::Alive,
        }
    }

    pub(crate) fn has_argument(pid: i32, argument: &Path) -> bool {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| {
            line.split(|byte| *byte == 0)
                .any(|part| part == argument.as_os_str().as_bytes())
        })
    }

    /// Every process of the program `name` that works in `folder`. Zombies have no working directory and are not listed.
    pub(crate) fn working_in(folder: &Path, name: &str) -> Vec<i32> {
        let Ok(processes) = fs::read_dir("/proc") else {
            return Vec::new();
        };
        let pids = processes
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let works_there =
            |pid: &i32| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == folder);
        let is_named = |pid: &i32| {
            fs::read_to_string(format!("/proc/{pid}/comm"))
                .is_ok_and(|comm| comm.trim_end() == name)
        };
        pids.filter(works_there).filter(is_named).collect()
    }
}

#[cfg(not(target_os = "linux"))]
mod table {
    use super::{Condition, Path};
    use std::process::Command;

    fn ps(pid: i32, column: &str) -> Option<String> {
        let output = Command::new("ps")
            .args(["-o", column, "-p", &pid.to_string()])
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        (!text.is_empty()).then_some(text)
    }

    pub(crate) fn condition(pid: i32) -> Condition {
        match ps(pid, "stat=") {
            None => Condition::Gone,
            Some(stat) if stat.starts_with('Z') => Condition::Zombie,
            Some(_) => Condition::Alive,
        }
    }

    pub(crate) fn has_argument(pid: i32, argument: &Path) -> bool {
        ps(pid, "command=").is_some_and(|line| {
            argument
                .to_str()
                .is_some_and(|argument| line.contains(argument))
        })
    }

    /// Not asked here: PostgreSQL's own check of its shared memory refuses to start beside survivors.
    pub(crate) fn working_in(_folder: &Path, _name: &str) -> Vec<i32> {
        Vec::new()
    }
}

pub(crate) use table::{condition, has_argument, working_in};

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn tells_the_living_from_zombies() {
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert_eq!(condition(pid), Condition::Alive);
        assert!(wait_until(Duration::from_secs(5), || has_argument(
            pid,
            Path::new("600")
        )));
        send(pid, Signal::SIGKILL);
        assert!(wait_until(Duration::from_secs(5), || condition(pid)
            == Condition::Zombie));
        child.wait().unwrap();
        assert_eq!(condition(pid), Condition::Gone);
    }
}
