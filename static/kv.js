/* The editor for environment variables: rows over a textarea of NAME=value lines, which stays the truth that is sent. */
(() => {
  const icons = document.documentElement.dataset.icons
  const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/
  const HIDE = /SECRET|TOKEN|KEY|PASS|PWD|PRIVATE|CREDENTIAL|AUTH|_URL$|DSN/i
  const icon = name => `<svg class="ic" aria-hidden="true"><use href="${icons}#${name}"/></svg>`
  let serial = 0

  const parse = text => text.split(/\r?\n/).map(l => l.trim()).filter(l => l && !l.startsWith("#")).map(line => {
    const at = line.indexOf("=")
    if (at < 0) return [line, ""]
    const value = line.slice(at + 1).trim()
    const bare = /^(["'])(.*)\1$/.exec(value)
    return [line.slice(0, at).replace(/^export\s+/, "").trim(), bare && !bare[2].includes(bare[1]) ? bare[2] : value]
  })

  const edit = holder => {
    const area = holder.querySelector("textarea")
    const box = document.createElement("div")
    box.className = "kv"
    box.innerHTML = '<div class="r h" aria-hidden="true"><span>Name</span><span>Value</span><span></span></div>'
    const rows = () => [...box.querySelectorAll(".r:not(.h)")]
    const read = row => [row.children[0].value.trim(), row.children[1].value]
    const write = () => {
      area.value = rows().map(read).filter(([name, value]) => name || value).map(([name, value]) => `${name}=${value}`).join("\n")
      const count = rows().filter(r => read(r)[0]).length
      holder.dispatchEvent(new CustomEvent("kv", { bubbles: true, detail: count }))
    }
    const dress = row => {
      const [name, value] = row.children
      const said = name.value.trim() || "the new variable"
      name.setAttribute("aria-label", name.value ? `Name of ${said}` : "New name")
      value.setAttribute("aria-label", `Value of ${said}`)
      name.setAttribute("aria-invalid", Boolean(name.value) && !NAME.test(name.value.trim()))
      const [show, drop] = row.lastElementChild.children
      show.setAttribute("aria-label", `Show ${said}`)
      drop.setAttribute("aria-label", `Remove ${said}`)
      row.lastElementChild.hidden = !name.value && !value.value
    }
    const make = (name = "", value = "") => {
      const row = document.createElement("div"), id = `kv-${++serial}`
      row.className = "r"
      row.innerHTML = `<input placeholder="NAME" spellcheck="false" autocapitalize="off" autocomplete="off"><input id="${id}" placeholder="value" spellcheck="false" autocapitalize="off" autocomplete="off"><div><button class="iconbtn wide" type="button" data-act="reveal" aria-controls="${id}" aria-pressed="false">${icon("eye")}</button><button class="iconbtn" type="button" data-drop>${icon("x")}</button></div>`
      row.children[0].value = name
      row.children[1].value = value
      row.children[1].type = value && HIDE.test(name) ? "password" : "text"
      row.querySelector("[data-act]").setAttribute("aria-pressed", row.children[1].type === "text")
      dress(row)
      return row
    }
    const spare = () => { const end = rows().at(-1); if (!end || read(end).some(Boolean)) box.append(make()) }
    const draw = () => { rows().forEach(r => r.remove()); parse(area.value).forEach(([n, v]) => box.append(make(n, v))); spare(); write() }

    box.addEventListener("input", e => { dress(e.target.closest(".r")); spare(); write() })
    box.addEventListener("paste", e => {
      const text = e.clipboardData.getData("text")
      if (!/[\r\n]/.test(text.trim()) && !(e.target === e.target.closest(".r").children[0] && /^\s*(export\s+)?[A-Za-z_]\w*=/.test(text))) return
      e.preventDefault()
      const row = e.target.closest(".r"), known = new Map(rows().map(r => [read(r)[0], r]))
      for (const [name, value] of parse(text)) {
        const old = known.get(name)
        if (old) old.children[1].value = value
        else row.before(make(name, value))
      }
      if (!read(row).some(Boolean) && row !== rows().at(-1)) row.remove()
      spare()
      write()
    })
    box.addEventListener("click", e => {
      const drop = e.target.closest("[data-drop]")
      if (!drop) return
      const row = drop.closest(".r"), next = row.nextElementSibling ?? row.previousElementSibling
      row.remove()
      spare()
      write()
      next?.querySelector("input")?.focus()
    })
    document.querySelectorAll("[data-kv-fill]").forEach(button => {
      button.hidden = false
      button.addEventListener("click", () => {
        const name = button.dataset.kvFill
        const row = rows().find(r => read(r)[0] === name) ?? box.insertBefore(make(name), rows().at(-1) ?? null)
        if (HIDE.test(name)) row.children[1].type = "password"
        write()
        row.children[1].focus()
      })
    })
    const raw = holder.closest(".panel")?.querySelector("[data-kv-raw]")
    if (raw) {
      raw.hidden = false
      raw.addEventListener("click", () => {
        const text = area.hidden
        area.hidden = !text
        box.hidden = text
        raw.lastElementChild.textContent = text ? "Edit as table" : "Paste .env"
        text ? area.focus() : draw()
      })
    }
    area.hidden = true
    area.after(box)
    draw()
  }
  addEventListener("DOMContentLoaded", () => document.querySelectorAll("[data-kv]").forEach(edit))
})()
