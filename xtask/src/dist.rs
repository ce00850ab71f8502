//! Debian packages of the programs, with units, examples and documents: `cargo xtask dist`.
#![expect(clippy::print_stderr, reason = "says what was made")]

mod contents;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use clap::Args;

use self::contents::{PACKAGES, Package};
use crate::{
    checks,
    run::{Step, cargo, root},
    web,
};

/// Of the packages, as Debian's tools write it.
const MAINTAINER: &str = "The Beamdesk authors <beamdesk@example.org>";
const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(Args)]
pub(crate) struct Arguments {
    /// Packages what the development profile builds: quick and slow to run, for trials. Its pages stay outside.
    #[arg(long)]
    pub(crate) debug: bool,
    /// Debian's part of the version: a package with a higher one replaces another of the same version.
    #[arg(long, default_value_t = 1)]
    pub(crate) revision: u32,
    /// Folder for the packages.
    #[arg(long, default_value = "target/dist")]
    pub(crate) out: PathBuf,
    /// Packages what was built before, as it lies there.
    #[arg(long)]
    pub(crate) no_build: bool,
}

/// Builds everything and makes the packages; gives their paths.
pub(crate) fn dist(arguments: &Arguments) -> Result<Vec<PathBuf>> {
    let profile = if arguments.debug { "debug" } else { "release" };
    if !arguments.no_build {
        web::build()?;
        let build = cargo().args(["build", "--package", "beamdesk", "--package", "beamdesk-agent"]);
        if arguments.debug { build } else { build.args(["--release"]) }.run()?;
        checks::x264(profile)?;
    }
    let out = root().join(&arguments.out);
    fs::create_dir_all(&out).with_context(|| format!("could not make {}", out.display()))?;
    let build = Build {
        programs: root().join("target").join(profile),
        stage: out.join("stage"),
        version: format!("{VERSION}-{}", arguments.revision),
        architecture: Step::new("dpkg").args(["--print-architecture"]).output()?.trim().to_owned(),
        epoch: epoch()?,
        is_quick: arguments.debug,
        out,
    };
    PACKAGES.iter().map(|package| build.package(package)).collect()
}

/// Seconds; the time of the newest commit, so that the same sources make the same packages.
fn epoch() -> Result<String> {
    match Step::new("git").args(["log", "-1", "--format=%ct"]).output_quiet() {
        Some(time) => Ok(time.trim().to_owned()),
        None => Ok(Step::new("date").args(["+%s"]).output()?.trim().to_owned()),
    }
}

struct Build {
    programs: PathBuf,
    stage: PathBuf,
    out: PathBuf,
    version: String,
    architecture: String,
    epoch: String,
    /// For trials: packing well takes a minute.
    is_quick: bool,
}

impl Build {
    fn package(&self, package: &Package) -> Result<PathBuf> {
        let stage = self.stage.join(package.name);
        if stage.exists() {
            fs::remove_dir_all(&stage)
                .with_context(|| format!("could not clear {}", stage.display()))?;
        }
        let tree = stage.join("tree");
        for program in package.programs {
            let to = tree.join("usr/bin").join(program);
            copy(&self.programs.join(program), &to, 0o755)?;
            let sections = ["--remove-section=.comment", "--remove-section=.note"];
            Step::new("strip")
                .args(["--strip-unneeded"])
                .args(sections)
                .args([&to])
                .run_quietly()?;
        }
        for (from, to) in package.files {
            let mode = if to.contains("/sbin/") { 0o755 } else { 0o644 };
            copy(&root().join(from), &tree.join(to), mode)?;
        }
        self.documents(package, &tree)?;
        self.control(package, &stage, &tree)?;
        let architecture = self.architecture_of(package);
        let name = format!("{}_{}_{architecture}.deb", package.name, self.version);
        let file = self.out.join(name);
        self.tool("dpkg-deb")
            .args(["--root-owner-group", if self.is_quick { "-Zgzip" } else { "-Zxz" }, "--build"])
            .args([&tree, &file])
            .run_quietly()?;
        eprintln!("{}", file.display());
        Ok(file)
    }

    fn architecture_of(&self, package: &Package) -> &str {
        if package.programs.is_empty() { "all" } else { &self.architecture }
    }

    /// What the distribution's policy wants of each package: licence, changes, manual pages.
    fn documents(&self, package: &Package, tree: &Path) -> Result<()> {
        let folder = tree.join("usr/share/doc").join(package.name);
        copy(&root().join("deploy/debian/copyright"), &folder.join("copyright"), 0o644)?;
        copy(&root().join("CHANGELOG.md"), &folder.join("changelog"), 0o644)?;
        let date =
            Step::new("date").args(["-u", "-R", "-d", &format!("@{}", self.epoch)]).output()?;
        let own = format!(
            "{} ({}) unstable; urgency=medium\n\n  * What changed stands in changelog.gz.\n\n -- {MAINTAINER}  {}\n",
            package.name,
            self.version,
            date.trim()
        );
        write(&folder.join("changelog.Debian"), &own, 0o644)?;
        let mut packed = vec![folder.join("changelog"), folder.join("changelog.Debian")];
        for (page, section) in package.manuals {
            let to = tree.join(format!("usr/share/man/man{section}/{page}.{section}"));
            copy(&root().join(format!("deploy/man/{page}.{section}")), &to, 0o644)?;
            packed.push(to);
        }
        Step::new("gzip").args(["-9nf"]).args(packed).run_quietly()
    }

    fn control(&self, package: &Package, stage: &Path, tree: &Path) -> Result<()> {
        let folder = tree.join("DEBIAN");
        let source = root().join("deploy/debian").join(package.name);
        for script in ["postinst", "prerm", "postrm"] {
            let from = source.join(script);
            if from.exists() {
                copy(&from, &folder.join(script), 0o755)?;
            }
        }
        let text = fs::read_to_string(source.join("control"))?
            .replace("${shlibs:Depends}", &libraries(package, stage)?)
            .replace("${binary:Version}", &self.version);
        let size =
            Step::new("du").args(["-sk", "--apparent-size", "--exclude=DEBIAN"]).args([tree]);
        let size = size.output()?;
        let size = size.split_whitespace().next().unwrap_or("0").to_owned();
        let fields = control(&text, &self.version, self.architecture_of(package), &size)?;
        write(&folder.join("control"), &fields, 0o644)?;
        let sums = "find . -path ./DEBIAN -prune -o -type f -printf '%P\\0' | LC_ALL=C sort -z | xargs -0 md5sum";
        let sums = Step::new("sh").args(["-c", sums]).at(tree).output()?;
        write(&folder.join("md5sums"), &sums, 0o644)
    }

    fn tool(&self, program: &str) -> Step {
        Step::new(program).env("SOURCE_DATE_EPOCH", &self.epoch)
    }
}

/// The packages whose libraries the programs use.
fn libraries(package: &Package, stage: &Path) -> Result<String> {
    if package.programs.is_empty() {
        return Ok(String::new());
    }
    let wanted = format!("Source: beamdesk\n\nPackage: {}\nArchitecture: any\n", package.name);
    write(&stage.join("debian/control"), &wanted, 0o644)?;
    let programs = package.programs.iter().map(|program| format!("-etree/usr/bin/{program}"));
    let found = Step::new("dpkg-shlibdeps").args(["-O"]).args(programs).at(stage).output()?;
    let libraries = found.trim().strip_prefix("shlibs:Depends=");
    libraries.map(str::to_owned).context("dpkg-shlibdeps names no libraries")
}

/// The package's own fields with those that come from the build, after `Package`.
fn control(text: &str, version: &str, architecture: &str, size_kib: &str) -> Result<String> {
    let Some((package, rest)) = text.split_once('\n') else { bail!("a control file is empty") };
    Ok(format!(
        "{package}\nSource: beamdesk\nVersion: {version}\nArchitecture: {architecture}\nMaintainer: {MAINTAINER}\n\
         Installed-Size: {size_kib}\n{rest}"
    ))
}

fn copy(from: &Path, to: &Path, mode: u32) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("could not make {}", folder.display()))?;
    }
    fs::copy(from, to)
        .and_then(|_| fs::set_permissions(to, fs::Permissions::from_mode(mode)))
        .with_context(|| format!("could not copy {} to {}", from.display(), to.display()))
}

fn write(to: &Path, text: &str, mode: u32) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("could not make {}", folder.display()))?;
    }
    fs::write(to, text)
        .and_then(|()| fs::set_permissions(to, fs::Permissions::from_mode(mode)))
        .with_context(|| format!("could not write {}", to.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{PACKAGES, control};
    use crate::run::root;

    #[test]
    fn everything_that_is_packaged_is_there() {
        for package in PACKAGES {
            for (from, to) in package.files {
                assert!(root().join(from).is_file(), "{}: {from}", package.name);
                assert!(!to.starts_with('/'), "{to}");
            }
            for (page, section) in package.manuals {
                assert!(root().join(format!("deploy/man/{page}.{section}")).is_file(), "{page}");
            }
            let text =
                fs::read_to_string(root().join(format!("deploy/debian/{}/control", package.name)));
            assert!(text.unwrap().starts_with(&format!("Package: {}\n", package.name)));
        }
    }

    #[test]
    fn everything_under_deploy_is_in_a_package() {
        for folder in ["systemd", "etc", "haproxy", "postgresql", "database", "openstack"] {
            for entry in fs::read_dir(root().join("deploy").join(folder)).unwrap() {
                let name =
                    format!("deploy/{folder}/{}", entry.unwrap().file_name().to_string_lossy());
                let packed = PACKAGES
                    .iter()
                    .any(|package| package.files.iter().any(|(from, _)| *from == name));
                assert!(packed, "{name}");
            }
        }
    }

    #[test]
    fn a_control_file_gets_what_the_build_knows() {
        let text = "Package: x\nDepends: y\nDescription: z\n more\n";
        let made = control(text, "1-2", "all", "7").unwrap();
        let lines: Vec<&str> = made.lines().collect();
        assert_eq!(
            lines[..4],
            ["Package: x", "Source: beamdesk", "Version: 1-2", "Architecture: all"]
        );
        assert_eq!(lines[5..], ["Installed-Size: 7", "Depends: y", "Description: z", " more"]);
    }
}
