//! Why the kernel has disabled the scheduler, from what `gamer_exit` recorded.

use std::ffi::CStr;
use std::ffi::c_char;
use std::ptr;

use super::skel::ExitInfo;

/// Kinds of exit that somebody wanted lie from here (`enum scx_exit_kind`: SCX_EXIT_UNREG, SCX_EXIT_SYSRQ and the like) ...
const KIND_WISH_MIN: i32 = 64;

/// ... to below the first that is a failure (SCX_EXIT_ERROR; a stall is one, too).
const KIND_ERROR: i32 = 1024;

/// How the kernel has ended the scheduler.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct End {
    /// Why, in one sentence for the player.
    pub reason: String,
    /// Somebody wanted it so, with SysRq-S for instance; otherwise something has failed.
    pub is_wish: bool,
}

impl End {
    /// One of which nothing is known.
    #[must_use]
    pub fn without_reason() -> Self {
        Self { reason: "no reason given".to_owned(), is_wish: false }
    }
}

/// `None` while the scheduler runs.
pub fn end(info: &ExitInfo) -> Option<End> {
    // SAFETY: an aligned field behind a reference; volatile because the kernel writes it behind our back.
    let kind = unsafe { ptr::read_volatile(&raw const info.kind) };
    if kind == 0 {
        return None;
    }
    let reason = match (text(&info.reason), text(&info.msg)) {
        (reason, None) => reason.unwrap_or_else(|| format!("exit kind {kind}")),
        (None, Some(message)) => message,
        (Some(reason), Some(message)) => format!("{reason}: {message}"),
    };
    Some(End { reason, is_wish: (KIND_WISH_MIN..KIND_ERROR).contains(&kind) })
}

/// A NUL-terminated text that fills less than its array; `None` when empty.
fn text(bytes: &[c_char]) -> Option<String> {
    let bytes: Vec<u8> = bytes.iter().map(|&byte| byte.cast_unsigned()).collect();
    let text = CStr::from_bytes_until_nul(&bytes).ok()?.to_string_lossy();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(kind: i32, reason: &str, msg: &str) -> ExitInfo {
        let mut info = ExitInfo { kind, ..ExitInfo::default() };
        for (to, from) in info.reason.iter_mut().zip(reason.bytes()) {
            *to = from.cast_signed();
        }
        for (to, from) in info.msg.iter_mut().zip(msg.bytes()) {
            *to = from.cast_signed();
        }
        info
    }

    fn end_reason(info: &ExitInfo) -> Option<String> {
        end(info).map(|end| end.reason)
    }

    #[test]
    fn a_running_scheduler_has_no_end() {
        assert_eq!(end_reason(&info(0, "", "")), None);
    }

    #[test]
    fn sysrq_is_somebodys_wish_and_a_stall_is_not() {
        let is_wish = |kind| end(&info(kind, "", "")).map(|end| end.is_wish);
        assert_eq!([64, 67, 1024, 1026].map(is_wish), [Some(true), Some(true), Some(false), Some(false)]);
    }

    #[test]
    fn reason_and_message_become_one_sentence() {
        let stall = info(1026, "runnable task stall", "game[7] failed to run for 5.2s");
        assert_eq!(end_reason(&stall).as_deref(), Some("runnable task stall: game[7] failed to run for 5.2s"));
        assert_eq!(
            end_reason(&info(64, "unregistered from user space", "")).as_deref(),
            Some("unregistered from user space")
        );
        assert_eq!(end_reason(&info(9, "", "")).as_deref(), Some("exit kind 9"));
    }
}
