//! Byte orders.

/// The first character of a format: in which order bytes stand, how large the types are, and whether there are gaps.
///
/// | character | byte order      | sizes             | gaps for alignment |
/// |-----------|-----------------|-------------------|--------------------|
/// | `@`, none | this machine's  | this machine's C  | yes                |
/// | `=`       | this machine's  | standard          | no                 |
/// | `<`       | little-endian   | standard          | no                 |
/// | `>`       | big-endian      | standard          | no                 |
/// | `!`       | big-endian: the network's | standard | no                |
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum ByteOrder {
    /// `@`, or no character: all as C has it on this machine.
    #[default]
    Native,
    /// `=`: the bytes of this machine, but standard sizes. Not the network's order!
    NativeStandard,
    /// `<`: the least significant byte first.
    Little,
    /// `>`: the most significant byte first.
    Big,
    /// `!`: the network's order, the same as `>`.
    Network,
}

impl ByteOrder {
    /// The character that asks for it.
    #[must_use]
    pub const fn prefix(self) -> char {
        match self {
            Self::Native => '@',
            Self::NativeStandard => '=',
            Self::Little => '<',
            Self::Big => '>',
            Self::Network => '!',
        }
    }

    /// Whether the least significant byte comes first.
    #[must_use]
    pub const fn is_little_endian(self) -> bool {
        match self {
            Self::Native | Self::NativeStandard => cfg!(target_endian = "little"),
            Self::Little => true,
            Self::Big | Self::Network => false,
        }
    }

    /// Whether sizes are this machine's, with gaps for alignment between fields.
    #[must_use]
    pub const fn is_aligned(self) -> bool {
        matches!(self, Self::Native)
    }

    /// What a character asks for, if it is one of the five.
    pub(crate) const fn of(prefix: u8) -> Option<Self> {
        Some(match prefix {
            b'@' => Self::Native,
            b'=' => Self::NativeStandard,
            b'<' => Self::Little,
            b'>' => Self::Big,
            b'!' => Self::Network,
            _ => return None,
        })
    }
}
