//! Physical keys: from the names of the web to the numbers of Linux.

/// The evdev code (`linux/input-event-codes.h`) of a `KeyboardEvent.code`; X adds 8 to it.
///
/// Names and meanings: <https://www.w3.org/TR/uievents-code/>.
#[rustfmt::skip]
pub fn evdev_of(code: &str) -> Option<u8> {
    Some(match code {
        "Escape" => 1,
        "Digit1" => 2, "Digit2" => 3, "Digit3" => 4, "Digit4" => 5, "Digit5" => 6,
        "Digit6" => 7, "Digit7" => 8, "Digit8" => 9, "Digit9" => 10, "Digit0" => 11,
        "Minus" => 12, "Equal" => 13, "Backspace" => 14,
        "Tab" => 15,
        "KeyQ" => 16, "KeyW" => 17, "KeyE" => 18, "KeyR" => 19, "KeyT" => 20,
        "KeyY" => 21, "KeyU" => 22, "KeyI" => 23, "KeyO" => 24, "KeyP" => 25,
        "BracketLeft" => 26, "BracketRight" => 27, "Enter" => 28,
        "ControlLeft" => 29,
        "KeyA" => 30, "KeyS" => 31, "KeyD" => 32, "KeyF" => 33, "KeyG" => 34,
        "KeyH" => 35, "KeyJ" => 36, "KeyK" => 37, "KeyL" => 38,
        "Semicolon" => 39, "Quote" => 40, "Backquote" => 41,
        "ShiftLeft" => 42, "Backslash" => 43,
        "KeyZ" => 44, "KeyX" => 45, "KeyC" => 46, "KeyV" => 47, "KeyB" => 48,
        "KeyN" => 49, "KeyM" => 50, "Comma" => 51, "Period" => 52, "Slash" => 53,
        "ShiftRight" => 54, "NumpadMultiply" | "NumpadStar" => 55, "AltLeft" => 56, "Space" => 57,
        "CapsLock" => 58,
        "F1" => 59, "F2" => 60, "F3" => 61, "F4" => 62, "F5" => 63,
        "F6" => 64, "F7" => 65, "F8" => 66, "F9" => 67, "F10" => 68,
        "NumLock" => 69, "ScrollLock" => 70,
        "Numpad7" => 71, "Numpad8" => 72, "Numpad9" => 73, "NumpadSubtract" => 74,
        "Numpad4" => 75, "Numpad5" => 76, "Numpad6" => 77, "NumpadAdd" => 78,
        "Numpad1" => 79, "Numpad2" => 80, "Numpad3" => 81, "Numpad0" => 82, "NumpadDecimal" => 83,
        "Lang5" => 85, // KEY_ZENKAKUHANKAKU
        "IntlBackslash" => 86,
        "F11" => 87, "F12" => 88,
        "IntlRo" => 89,
        "Lang3" => 90, // KEY_KATAKANA
        "Lang4" => 91, // KEY_HIRAGANA
        "Convert" => 92, "KanaMode" => 93, "NonConvert" => 94,
        "NumpadEnter" => 96, "ControlRight" => 97, "NumpadDivide" => 98,
        "PrintScreen" => 99, "AltRight" => 100,
        "Home" => 102, "ArrowUp" => 103, "PageUp" => 104, "ArrowLeft" => 105, "ArrowRight" => 106,
        "End" => 107, "ArrowDown" => 108, "PageDown" => 109, "Insert" => 110, "Delete" => 111,
        "AudioVolumeMute" | "VolumeMute" => 113,
        "AudioVolumeDown" | "VolumeDown" => 114,
        "AudioVolumeUp" | "VolumeUp" => 115,
        "Power" => 116,
        "NumpadEqual" => 117,
        "Pause" => 119,
        "NumpadComma" => 121,
        "Lang1" => 122, // KEY_HANGEUL
        "Lang2" => 123, // KEY_HANJA
        "IntlYen" => 124,
        "MetaLeft" | "OSLeft" => 125, "MetaRight" | "OSRight" => 126,
        "ContextMenu" => 127,
        "BrowserStop" => 128, "Again" => 129, "Props" => 130, "Undo" => 131, "Select" => 132,
        "Copy" => 133, "Open" => 134, "Paste" => 135, "Find" => 136, "Cut" => 137, "Help" => 138,
        "LaunchApp2" => 140, // KEY_CALC
        "Sleep" => 142, "WakeUp" => 143,
        "LaunchMail" => 155, "BrowserFavorites" => 156, "LaunchApp1" => 157, // KEY_COMPUTER
        "BrowserBack" => 158, "BrowserForward" => 159,
        "Eject" => 161,
        "MediaTrackNext" => 163, "MediaPlayPause" => 164, "MediaTrackPrevious" => 165,
        "MediaStop" => 166,
        "BrowserHome" => 172, "BrowserRefresh" => 173,
        "NumpadParenLeft" => 179, "NumpadParenRight" => 180,
        "F13" => 183, "F14" => 184, "F15" => 185, "F16" => 186, "F17" => 187, "F18" => 188,
        "F19" => 189, "F20" => 190, "F21" => 191, "F22" => 192, "F23" => 193, "F24" => 194,
        "BrowserSearch" => 217,
        "MediaSelect" => 226,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every key of a full-size keyboard of any country, as the standard names them.
    const ALL: &str = "Backquote Backslash BracketLeft BracketRight Comma Digit0 Digit1 Digit2 \
        Digit3 Digit4 Digit5 Digit6 Digit7 Digit8 Digit9 Equal IntlBackslash IntlRo IntlYen KeyA \
        KeyB KeyC KeyD KeyE KeyF KeyG KeyH KeyI KeyJ KeyK KeyL KeyM KeyN KeyO KeyP KeyQ KeyR KeyS \
        KeyT KeyU KeyV KeyW KeyX KeyY KeyZ Minus Period Quote Semicolon Slash AltLeft AltRight \
        Backspace CapsLock ContextMenu ControlLeft ControlRight Enter MetaLeft MetaRight ShiftLeft \
        ShiftRight Space Tab Convert KanaMode Lang1 Lang2 Lang3 Lang4 Lang5 NonConvert Delete End \
        Help Home Insert PageDown PageUp ArrowDown ArrowLeft ArrowRight ArrowUp NumLock Numpad0 \
        Numpad1 Numpad2 Numpad3 Numpad4 Numpad5 Numpad6 Numpad7 Numpad8 Numpad9 NumpadAdd \
        NumpadComma NumpadDecimal NumpadDivide NumpadEnter NumpadEqual NumpadMultiply \
        NumpadParenLeft NumpadParenRight NumpadSubtract Escape F1 F2 F3 F4 F5 F6 F7 F8 F9 F10 F11 \
        F12 F13 F14 F15 F16 F17 F18 F19 F20 F21 F22 F23 F24 PrintScreen ScrollLock Pause \
        BrowserBack BrowserFavorites BrowserForward BrowserHome BrowserRefresh BrowserSearch \
        BrowserStop Eject LaunchApp1 LaunchApp2 LaunchMail MediaPlayPause MediaSelect MediaStop \
        MediaTrackNext MediaTrackPrevious Power Sleep AudioVolumeDown AudioVolumeMute \
        AudioVolumeUp WakeUp Again Copy Cut Find Open Paste Props Select Undo";

    #[test]
    fn each_key_has_its_own_number_that_x_can_say() {
        let mut numbers: Vec<_> =
            ALL.split_whitespace().map(|code| (evdev_of(code), code)).collect();
        numbers.sort_unstable();
        for pair in numbers.windows(2) {
            assert_ne!(pair[0].0, pair[1].0, "{} and {}", pair[0].1, pair[1].1);
        }
        for (number, code) in numbers {
            let number = number.unwrap_or_else(|| panic!("{code} is missing"));
            assert!(number.checked_add(8).is_some(), "{code} is out of reach of X");
        }
    }

    #[test]
    fn unknown_names_have_no_number() {
        assert_eq!([evdev_of(""), evdev_of("Unidentified"), evdev_of("keya")], [None; 3]);
    }
}
