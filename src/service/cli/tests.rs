use super::*;
use crate::events::FrameWish;

fn options(args: &[&str]) -> Result<Options, String> {
    Options::from_words(args)
}

#[test]
fn the_command_line_is_consistent() {
    <Cli as clap::CommandFactory>::command().debug_assert();
}

#[test]
fn busy_exit_follows_enter_ten_below_and_not_below_zero() {
    assert_eq!(options(&[]).map(|o| o.tunables.cpu_busy_exit_pct), Ok(65));
    assert_eq!(options(&["-c", "5"]).map(|o| o.tunables.cpu_busy_exit_pct), Ok(0));
}

#[test]
fn a_busy_exit_above_enter_is_refused_with_both_values() {
    let error = options(&["-c", "50", "--cpu-busy-exit", "51"]).expect_err("exit above enter");
    assert!(error.contains("--cpu-busy-exit 51 is above --cpu-busy-thresh 50"), "{error}");
}

#[test]
fn values_out_of_range_are_refused_with_flag_value_and_range() {
    for (flag, value) in [
        ("--slice-us", "0"),
        ("-c", "101"),
        ("--slice-lag-us", "100001"),
        ("--foreground-pid", "-4"),
        ("--mig-max", "0"),
        ("--mig-window-ms", "10001"),
        ("--input-window-us", "100001"),
        ("--frame-window-us", "100001"),
        ("--mm-hint-size", "127"),
    ] {
        let error = options(&[&format!("{flag}={value}")]).expect_err(flag);
        assert!(error.contains(value) && error.contains("not in"), "{error}");
    }
    let error = options(&["--wakeup-timer-us", "249"]).expect_err("below 250");
    assert!(error.contains("--wakeup-timer-us 249"), "{error}");
}

#[test]
fn intervals_are_seconds_with_fractions_and_bounds() {
    let interval = |text: &str| options(&["--stats", text]).map(|o| o.stats_interval);
    assert_eq!(options(&[]).map(|o| o.stats_interval), Ok(None));
    assert_eq!(interval("0.25"), Ok(Some(Duration::from_millis(250))));
    assert_eq!(interval("3600"), Ok(Some(Duration::from_secs(3600))));
    for text in ["0", "0.09", "3601", "-1", "nan", "inf", "1s", ""] {
        for flag in ["--stats", "--monitor"] {
            let error = options(&[&format!("{flag}={text}")]).expect_err(text);
            assert!(error.contains(flag) && error.contains("0.1"), "{error}");
        }
    }
}

#[test]
fn to_look_on_is_a_job_of_its_own_that_takes_no_other_flag() {
    assert_eq!(options(&["--monitor", "2"]).map(|o| o.job), Ok(Job::Monitor(Duration::from_secs(2))));
    assert_eq!(options(&["--help-stats"]).map(|o| o.job), Ok(Job::HelpStats));
    assert_eq!(options(&["--stats", "2"]).map(|o| o.job), Ok(Job::Direct));
    for other in [&["--stats", "1"][..], &["-s", "500"], &["--foreground-pid", "1"], &["--child"], &["--help-stats"]] {
        assert!(options(&[&["--monitor", "1"], other].concat()).is_err(), "{other:?}");
    }
}

#[test]
fn a_flag_without_the_one_it_needs_is_refused_and_names_it() {
    for (words, needed) in [
        (&["--disable-smt"][..], "--flat-idle-scan"),
        (&["--mm-hint-size", "512"], "--enable-mm-hint"),
        (&["--prefer-napi-on-input", "--input-window-us", "0"], "--input-window-us"),
        (&["-i", "-P"], "--preferred-idle-scan"),
    ] {
        let error = options(words).expect_err(needed);
        assert!(error.contains(words[0].trim_start_matches("-i")) && error.contains(needed), "{error}");
    }
}

#[test]
fn a_primary_domain_is_a_keyword_or_a_list() {
    for domain in ["all", "turbo", "performance", "powersave", "0-3,8"] {
        assert_eq!(options(&["-m", domain]).map(|o| o.tunables.primary_domain.to_string()), Ok(domain.to_owned()));
    }
    assert_eq!(options(&[]).map(|o| o.tunables.primary_domain), Ok(PrimaryDomain::All));
}

#[test]
fn a_primary_domain_that_is_none_is_refused_with_flag_and_value() {
    for domain in ["", "3-1", "fast", "4000", "1,"] {
        let error = options(&["--primary-domain", domain]).expect_err(domain);
        assert!(error.contains("--primary-domain <CPUS>") && error.contains(domain), "{error}");
    }
}

#[test]
fn a_frame_rate_is_a_positive_number_that_a_display_could_have() {
    let with = |hz: &str| options(&["--frame-window-us", "1000", &format!("--frame-hz={hz}")]);
    assert_eq!(with("59.94").map(|o| o.events.frames.and_then(|frames| frames.given_hz)), Ok(Some(59.94)));
    for hz in ["0", "-60", "nan", "inf", "1001", "fast", ""] {
        let error = with(hz).expect_err(hz);
        assert!(error.contains("--frame-hz") && error.contains("1..=1000 Hz"), "{error}");
    }
}

#[test]
fn other_schedulers_that_nobody_manages_are_kept_unless_told_otherwise() {
    let policy = |words: &[&str]| options(words).map(|o| o.on_conflict);
    assert_eq!(policy(&[]), Ok(OnConflict::Keep));
    assert_eq!(policy(&["--on-conflict", "replace"]), Ok(OnConflict::Replace));
    let error = policy(&["--on-conflict=fight"]).expect_err("no such policy");
    assert!(error.contains("--on-conflict") && error.contains("keep, replace"), "{error}");
}

#[test]
fn what_concerns_frames_needs_frame_windows() {
    for words in [["--frame-hz", "60"], ["--drm-debugfs", "0:0"], ["--drm", "0:0"], ["--vblank-sample-ms", "100"]] {
        let error = options(&words).expect_err(words[0]);
        assert!(error.contains(words[0]) && error.contains("--frame-window-us"), "{error}");
        assert!(options(&[&words[..], &["--frame-window-us", "2000"]].concat()).is_ok(), "{words:?}");
    }
}

#[test]
fn frames_are_looked_for_in_200_ms_unless_told_otherwise() {
    let frames = |words: &[&str]| options(words).map(|o| o.events.frames);
    assert_eq!(frames(&[]), Ok(None));
    let wish = FrameWish { given_hz: None, crtc: None, sample: Duration::from_millis(200) };
    assert_eq!(frames(&["--frame-window-us", "1"]), Ok(Some(wish)));
    let wish = FrameWish { crtc: Some(CrtcId { card: 1, crtc: 2 }), sample: Duration::from_millis(10), ..wish };
    assert_eq!(frames(&["--frame-window-us", "1", "--drm", "1:2", "--vblank-sample-ms", "10"]), Ok(Some(wish)));
    for value in ["9", "1001", "x"] {
        assert!(frames(&["--frame-window-us", "1", "--vblank-sample-ms", value]).is_err(), "{value}");
    }
    assert!(frames(&["--frame-window-us", "1", "--drm", "1:2", "--frame-hz", "60"]).is_err());
}
