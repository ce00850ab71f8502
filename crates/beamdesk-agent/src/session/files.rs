//! The session's configuration: written anew at each start, in the user's language.
//!
//! What a user changes lives in the home folder and wins; only what programs read from nowhere else
//! is put there, once.

use std::{fs, io, path::Path};

use beamdesk_types::SessionConfig;

/// A program of the panel and the menu.
struct Program {
    file: &'static str,
    command: &'static str,
    icon: &'static str,
    /// Folder of the icon's 48 pixel image in the theme.
    kind: &'static str,
    en: &'static str,
    zh: &'static str,
}

const ICONS: &str = "/usr/share/icons/Adwaita/48x48";

#[rustfmt::skip]
const PROGRAMS: &[Program] = &[
    Program { file: "terminal", command: "lxterminal", icon: "utilities-terminal", kind: "legacy", en: "Terminal", zh: "终端" },
    Program { file: "files", command: "pcmanfm", icon: "system-file-manager", kind: "legacy", en: "Files", zh: "文件" },
    Program { file: "editor", command: "mousepad", icon: "accessories-text-editor", kind: "legacy", en: "Text editor", zh: "文本编辑器" },
    Program { file: "images", command: "gpicview", icon: "image-x-generic", kind: "mimetypes", en: "Images", zh: "图片" },
    Program { file: "calculator", command: "galculator", icon: "accessories-calculator", kind: "legacy", en: "Calculator", zh: "计算器" },
    Program { file: "archives", command: "xarchiver", icon: "package-x-generic", kind: "mimetypes", en: "Archives", zh: "压缩文件" },
    Program { file: "processes", command: "lxterminal -e htop", icon: "applications-system", kind: "legacy", en: "Processes", zh: "进程" },
];

/// Writes everything below the run folder, and what is missing below the home folder.
pub(super) fn write(run: &Path, config: &SessionConfig) -> io::Result<()> {
    let is_chinese = config.language == "zh";
    let label = |program: &Program| if is_chinese { program.zh } else { program.en };
    let place = run.display().to_string();
    let mut items = String::new();
    let mut launchers = String::new();
    for program in PROGRAMS {
        let icon = format!("{ICONS}/{}/{}.png", program.kind, program.icon);
        let entry = fill(
            include_str!("../../session/application.desktop"),
            &[("@LABEL@", label(program)), ("@COMMAND@", program.command), ("@ICON@", &icon)],
        );
        put(&run.join(format!("applications/{}.desktop", program.file)), &entry)?;
        launchers +=
            &format!("launcher_item_app = {place}/applications/{}.desktop\n", program.file);
        items += &format!(
            "    <item label=\"{}\" icon=\"{icon}\"><action name=\"Execute\"><command>{}</command>\
             </action></item>\n",
            label(program),
            program.command,
        );
    }
    let date = if is_chinese { "%-m月%-d日" } else { "%-d %b" };
    let tint2rc = fill(
        include_str!("../../session/tint2rc"),
        &[("@NAME@", &one_line(&config.name)), ("@DATE@", date), ("@LAUNCHERS@", &launchers)],
    );
    let openbox = fill(include_str!("../../session/openbox.xml"), &[("@RUN@", &place)]);
    let menu = fill(include_str!("../../session/menu.xml"), &[("@ITEMS@", &items)]);
    put(&run.join("tint2rc"), &tint2rc)?;
    put(&run.join("openbox.xml"), &openbox)?;
    put(&run.join("menu.xml"), &menu)?;
    put(&run.join("gtkrc"), include_str!("../../session/gtkrc"))?;
    put(&run.join("fonts.conf"), include_str!("../../session/fonts.conf"))?;
    let theme = run.join("share/themes/Beamdesk/openbox-3/themerc");
    put(&theme, include_str!("../../session/themerc"))?;
    let settings = run.join("config/gtk-3.0/settings.ini");
    put(&settings, include_str!("../../session/gtk3-settings.ini"))?;
    let files = run.join("config/pcmanfm/beamdesk");
    put(&files.join("pcmanfm.conf"), include_str!("../../session/pcmanfm.conf"))?;
    if let Some(home) = std::env::home_dir().filter(|home| home.is_dir()) {
        let terminal = home.join(".config/lxterminal/lxterminal.conf");
        put_once(&terminal, include_str!("../../session/lxterminal.conf"))?;
    }
    Ok(())
}

fn fill(template: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(template.to_owned(), |text, (name, value)| text.replace(name, value))
}

fn put(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)
}

/// A home that is full or read-only still gets a session.
fn put_once(path: &Path, text: &str) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    match put(path, text) {
        Err(error) => {
            tracing::warn!(error = %error, "Could not write to the home folder");
            Ok(())
        }
        done => done,
    }
}

/// A name cannot add lines to a configuration file.
fn one_line(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use beamdesk_types::SessionConfig;

    use super::write;

    fn written(language: &str, name: &str, file: &str) -> String {
        let run = tempfile::tempdir().unwrap();
        let config = SessionConfig {
            name: name.to_owned(),
            language: language.to_owned(),
            width: 1920,
            height: 1080,
        };
        write(run.path(), &config).unwrap();
        std::fs::read_to_string(run.path().join(file)).unwrap()
    }

    #[test]
    fn menus_speak_the_users_language() {
        assert!(written("en", "a", "menu.xml").contains("label=\"Terminal\""));
        assert!(written("zh", "a", "menu.xml").contains("label=\"终端\""));
    }

    #[test]
    fn a_name_adds_no_line() {
        let panel = written("en", "beam\nbutton_lclick_command = rm", "tint2rc");
        assert!(panel.contains("button_text = beambutton_lclick_command = rm\n"));
    }

    #[test]
    fn no_placeholder_is_left() {
        for file in ["tint2rc", "openbox.xml", "menu.xml", "applications/files.desktop"] {
            let text = written("en", "a", file);
            let left = text.lines().find(|line| line.contains('@'));
            assert_eq!(left, None, "{file}");
        }
    }
}
