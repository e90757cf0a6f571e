//! What processes cost: CPU time and peak memory, from `/proc`.

use std::fs;

use anyhow::Context as _;

/// CPU seconds of one process, those of its children that have ended not counted.
pub(crate) fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    Ok(read_stat(pid).with_context(|| format!("read the CPU time of process {pid}"))?.own)
}

/// Milliseconds that a process with one thread has run, to the nanosecond.
pub(crate) fn running_milliseconds(pid: u32) -> anyhow::Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).context("read a process's run time")?;
    let running = text.split(' ').next().and_then(|number| number.parse::<f64>().ok());
    Ok(running.context("a process's run time is no number")? / 1e6)
}

/// CPU seconds of a whole server: its main process, the children that live, and those that have ended.
pub(crate) fn cpu_seconds_with_children(pid: u32) -> anyhow::Result<f64> {
    let parent = read_stat(pid).with_context(|| format!("read the CPU time of process {pid}"))?;
    let processes = fs::read_dir("/proc").context("read /proc")?.flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let living = pids.filter_map(read_stat).filter(|stat| stat.parent == pid).map(|stat| stat.own);
    Ok(parent.own + parent.ended_children + living.sum::<f64>())
}

/// Most memory that a process ever had resident, in MiB.
pub(crate) fn peak_mib(pid: u32) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("read a process's status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    Ok(kib.context("a process's status names no peak")? / 1024.0)
}

struct Stat {
    parent: u32,
    own: f64,
    ended_children: f64,
}

/// Nothing where the process is gone.
fn read_stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may hold anything; the parent is the second field after it.
    let fields: Vec<f64> =
        text.rsplit_once(") ")?.1.split(' ').map(|field| field.parse().unwrap_or(0.0)).collect();
    // SAFETY: sysconf takes a constant, touches no memory of ours, and this one cannot fail on Linux.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64;
    Some(Stat {
        parent: *fields.get(1)? as u32,
        own: (fields.get(11)? + fields.get(12)?) / ticks,
        ended_children: (fields.get(13)? + fields.get(14)?) / ticks,
    })
}
