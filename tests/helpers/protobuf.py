"""Protocol buffers made by hand."""


def number(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def message(*parts):
    """A protocol buffer of `(field, value)`: numbers as such, lists of numbers packed, texts and bytes with their length."""
    out = b""
    for field, value in parts:
        if isinstance(value, int):
            out += number(field << 3) + number(value)
        else:
            packed = b"".join(map(number, value)) if isinstance(value, list) else value
            content = packed.encode() if isinstance(packed, str) else packed
            out += number(field << 3 | 2) + number(len(content)) + content
    return out
