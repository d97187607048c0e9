use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    quiet_the_driver();
    sefa_studio::ops::keep_freed_memory();
    sefa_studio::cli::main()
}

/// Mesa's device-selection layer works through `XDG_RUNTIME_DIR`. Where that is not set (a container, a root shell) the layer
/// can do nothing, but prints lines that start with "error:", as this program's own last words do.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "sets the environment before there is another thread: the first thing that `main` does")]
fn quiet_the_driver() {
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: the first thing `main` does; there is no other thread yet that could read the environment.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}
