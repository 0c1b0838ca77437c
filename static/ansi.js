/* ANSI colours of a log line as spans with classes; the classes are tuned to both themes in input.css. */
(() => {
  const OTHER = /\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b\[[0-9;?]*[A-Za-ln-z]|\x1b[@-Z\\^_]|[\x00-\x08\x0b\x0c\x0e-\x1a]/g
  const SGR = /\x1b\[([0-9;:]*)m/g
  const HUES = ["k", "r", "g", "y", "b", "m", "c", "w"]

  // The nearest of eight hues, so that any colour stays readable on both grounds.
  const nearest = (r, g, b) => {
    const max = Math.max(r, g, b), min = Math.min(r, g, b)
    if (max - min < 40) return max < 110 ? 0 : 7
    const floor = min + (max - min) * 0.55
    return (r > floor) + 2 * (g > floor) + 4 * (b > floor)
  }
  const cube = n => {
    if (n < 16) return n % 8
    if (n > 231) return n < 244 ? 0 : 7
    const v = n - 16, level = k => (k ? 55 + k * 40 : 0)
    return nearest(level(Math.floor(v / 36)), level(Math.floor(v / 6) % 6), level(v % 6))
  }
  const apply = (style, codes) => {
    for (let i = 0; i < codes.length; i++) {
      const c = codes[i]
      if (c === 0) Object.assign(style, { hue: "", bold: false, dim: false, italic: false, line: false })
      else if (c === 1) style.bold = true
      else if (c === 2) style.dim = true
      else if (c === 3) style.italic = true
      else if (c === 4) style.line = true
      else if (c === 22) style.bold = style.dim = false
      else if (c === 23) style.italic = false
      else if (c === 24) style.line = false
      else if (c === 39) style.hue = ""
      else if (c >= 30 && c <= 37) style.hue = HUES[c - 30]
      else if (c >= 90 && c <= 97) style.hue = HUES[c - 90]
      else if (c === 38 || c === 48) {
        const hue = codes[i + 1] === 5 ? cube(codes[i + 2] ?? 7) : nearest(codes[i + 2] ?? 0, codes[i + 3] ?? 0, codes[i + 4] ?? 0)
        if (c === 38) style.hue = HUES[hue]
        i += codes[i + 1] === 5 ? 2 : 4
      }
    }
  }
  const classes = s => [s.hue && `ansi-${s.hue}`, s.bold && "ansi-bold", s.dim && "ansi-dim", s.italic && "ansi-italic", s.line && "ansi-line"].filter(Boolean).join(" ")

  /* What a terminal would leave of the line: the part after the last carriage return, without control characters but colours. */
  const settle = raw => {
    const text = raw.endsWith("\r") ? raw.slice(0, -1) : raw
    const cut = text.lastIndexOf("\r")
    return (cut < 0 ? text : text.slice(cut + 1)).replace(OTHER, "")
  }
  const plain = raw => (raw.includes("\x1b") || raw.includes("\r") ? settle(raw).replace(SGR, "") : raw)
  const fill = (node, raw) => {
    if (!raw.includes("\x1b") && !raw.includes("\r")) { node.textContent = raw; return }
    const text = settle(raw), style = {}
    let at = 0
    const put = part => {
      if (!part) return
      const name = classes(style)
      if (!name) { node.append(part); return }
      const span = document.createElement("span")
      span.className = name
      span.textContent = part
      node.append(span)
    }
    for (const m of text.matchAll(SGR)) {
      put(text.slice(at, m.index))
      apply(style, m[1] ? m[1].split(/[;:]/).map(Number) : [0])
      at = m.index + m[0].length
    }
    put(text.slice(at))
  }
  globalThis.devflow.ansi = { plain, fill }
})()
