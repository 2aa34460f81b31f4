//! Compiles the BPF programs with clang.
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=CLANG");
    for name in ["port", "uplink", "detour"] {
        compile(name, &format!("src/{name}.bpf.c"));
    }
    println!("cargo::rerun-if-changed=src/traffic/stamp.bpf.h");
    for name in ["inject", "sink", "redirect"] {
        compile(name, &format!("src/traffic/{name}.bpf.c"));
    }
}

fn compile(name: &str, source: &str) {
    println!("cargo::rerun-if-changed={source}");
    let clang = std::env::var("CLANG").unwrap_or_else(|_| "clang".into());
    let out = Path::new(&std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join(format!("{name}.bpf.o"));
    // Debian keeps <asm/types.h> in a folder of the machine's triple, which clang does not search for the bpf target.
    let machine = format!("/usr/include/{}-linux-gnu", std::env::consts::ARCH);
    let status = Command::new(&clang)
        .args(["-O2", "-g", "-Wall", "-Werror", "-target", "bpf", "-mcpu=v3", "-I", &machine, "-c", source, "-o"])
        .arg(&out)
        .status();
    let problem = match status {
        Ok(status) if status.success() => return,
        Ok(status) => format!("{clang} ended with {status}"),
        Err(error) => format!("{clang} does not run: {error}"),
    };
    println!("cargo::error=compiling {source}: {problem}; `make setup` installs clang, libbpf-dev and linux-libc-dev");
}
