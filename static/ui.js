/* What every page does: theme, drawer, palette, dialogs, toasts, copying, running clocks.
   One delegated listener a kind, so nothing breaks when htmx swaps a part. */
(() => {
  const root = document.documentElement
  const $ = (selector, node = document) => node.querySelector(selector)
  const $$ = (selector, node = document) => [...node.querySelectorAll(selector)]

  /* ---------- toasts ---------- */
  const fade = note => setTimeout(() => note.remove(), 4000 + note.textContent.length * 25)
  const toast = (text, kind = "success") => {
    const box = $("#toasts")
    if (!box) return
    const state = kind === "error" ? "failed" : kind
    const note = document.createElement("div")
    note.className = "note"
    note.dataset.s = state
    note.innerHTML = `<svg class="glyph" aria-hidden="true"><use href="${root.dataset.icons}#st-${state}"/></svg><span></span>`
    note.lastElementChild.textContent = text
    box.append(note)
    fade(note)
  }
  const copy = async (text, said = "Copied") => {
    try {
      await navigator.clipboard.writeText(text)
      toast(said)
    } catch {
      const area = Object.assign(document.createElement("textarea"), { value: text })
      document.body.append(area)
      area.select()
      const done = document.execCommand("copy")
      area.remove()
      toast(done ? said : "The browser does not allow copying here. Select the text instead.", done ? "success" : "error")
    }
  }

  /* ---------- theme: light, dark, system ---------- */
  const system = matchMedia("(prefers-color-scheme: dark)")
  const stored = () => { try { return localStorage.theme || "system" } catch { return root.dataset.theme ?? "system" } }
  const paint = () => {
    const theme = stored()
    root.classList.toggle("dark", theme === "dark" || (theme === "system" && system.matches))
    $$("[data-act=theme][aria-pressed]").forEach(b => b.setAttribute("aria-pressed", b.dataset.theme === theme))
    $$("input[name=theme]").forEach(i => { i.checked = i.value === theme })
  }
  const remember = theme => {
    try { theme === "system" ? localStorage.removeItem("theme") : (localStorage.theme = theme) } catch { /* private mode: this page only */ }
  }
  const setTheme = theme => {
    remember(theme)
    keepTheme(theme)
    paint()
  }
  // Who is signed in finds their theme again on every device.
  const keepTheme = theme => {
    if (!root.dataset.theme || root.dataset.theme === theme) return
    root.dataset.theme = theme
    try { localStorage.themed = "1" } catch { /* private mode */ }
    const headers = { ...JSON.parse(document.body.getAttribute("hx-headers:inherited") ?? "{}"), "HX-Request": "true" }
    fetch("/settings/preferences", { method: "POST", keepalive: true, headers, body: new URLSearchParams({ theme }) })
      .then(answer => { if (!answer.ok) throw answer })
      .catch(() => toast("The theme could not be saved. It holds in this browser.", "error"))
  }
  // What this browser chose before the sign-in becomes the account's choice; from then on the account's counts.
  const settleTheme = () => {
    const theme = root.dataset.theme
    if (!theme) return
    try {
      if (theme === "system" && !localStorage.themed && localStorage.theme) return keepTheme(localStorage.theme)
      localStorage.themed = "1"
    } catch { /* private mode */ }
    remember(theme)
  }
  system.addEventListener("change", paint)
  addEventListener("beforeprint", () => root.classList.remove("dark")) // paper is light
  addEventListener("afterprint", paint)
  addEventListener("storage", e => e.key === "theme" && paint())

  /* ---------- drawer on phones ---------- */
  const nav = open => {
    root.toggleAttribute("data-nav", open)
    $(".page").inert = open // Tab stays in the drawer
    const button = $("[data-act=nav-open]")
    button?.setAttribute("aria-expanded", open)
    ;(open ? $("#side a, #side button") : button)?.focus()
  }

  /* ---------- palette ---------- */
  const palette = () => {
    const dialog = $("#palette")
    if (!dialog || dialog.open) return
    dialog.showModal()
    const input = $("input", dialog)
    input.value = ""
    filter()
    input.focus()
  }
  const options = () => $$("#palette [role=option]").filter(o => o.offsetParent)
  const choose = option => {
    $$("#palette [role=option]").forEach(o => o.setAttribute("aria-selected", o === option))
    if (option) {
      $("#palette input").setAttribute("aria-activedescendant", option.id)
      option.scrollIntoView({ block: "nearest" })
    }
  }
  const filter = () => {
    const input = $("#palette input")
    const words = input.value.trim().toLowerCase()
    const own = $$("#palette-list > [role=group] [role=option]")
    own.forEach(o => { o.hidden = !o.textContent.toLowerCase().includes(words) })
    $$("#palette-list > [role=group]").forEach(g => { g.hidden = !$("[role=option]:not([hidden])", g) })
    found()
    clearTimeout(filter.timer)
    if (words.length > 1) filter.timer = setTimeout(() => htmx.trigger(input, "find"), 120)
    else $("#palette-found").replaceChildren()
  }
  const found = () => {
    choose(options()[0])
    $("#palette .nohit").hidden = options().length > 0 || $("#palette input").value.trim().length < 2
  }

  /* ---------- dialogs ---------- */
  // A dialog that serves many rows carries {name} and the like; the button that opens it fills them in.
  const fill = (dialog, values) => {
    const form = $("form", dialog)
    if (values.fillAction) form.action = values.fillAction
    $$("[data-slot]", dialog).forEach(slot => {
      const text = values["fill" + slot.dataset.slot[0].toUpperCase() + slot.dataset.slot.slice(1)]
      if (text !== undefined) "value" in slot ? (slot.value = text) : (slot.textContent = text)
    })
    if (form.dataset.confirm !== undefined && values.fillName) form.dataset.confirm = values.fillName
  }
  const openDialog = button => {
    const dialog = $("#" + button.dataset.dialog)
    if (!dialog) return
    fill(dialog, button.dataset)
    button.closest("[popover]")?.hidePopover()
    dialog.showModal()
    const typed = $("[data-confirm] [name=confirm]", dialog)
    if (typed) {
      typed.value = ""
      confirmed(typed)
      typed.focus()
    }
  }
  const confirmed = input => {
    const form = input.closest("[data-confirm]")
    const yes = form && $("[data-yes]", form)
    if (yes && input.name === "confirm") yes.disabled = input.value.trim() !== form.dataset.confirm
  }

  /* ---------- menus: arrow keys open them and walk through them ---------- */
  const walk = e => {
    const button = e.target.closest?.("[popovertarget]")
    const menu = button ? $("#" + button.getAttribute("popovertarget")) : e.target.closest?.(".pop")
    const entries = menu ? $$("a, button:not(:disabled)", menu) : []
    const at = entries.indexOf(e.target)
    const to = { ArrowDown: at + 1, ArrowUp: button ? -1 : at - 1, Home: button ? undefined : 0, End: button ? undefined : -1 }[e.key]
    if (to === undefined || !entries.length || e.target.matches("input, select, textarea")) return
    e.preventDefault()
    if (button) menu.showPopover({ source: button })
    entries.at(to % entries.length).focus()
  }

  /* ---------- times ---------- */
  const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ")
  const ago = then => {
    const seconds = Math.max(0, (Date.now() - then) / 1000)
    if (seconds < 10) return "now"
    if (seconds < 60) return `${Math.floor(seconds)} s ago`
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`
    if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`
    if (seconds < 172800) return "yesterday"
    if (seconds < 604800) return `${Math.floor(seconds / 86400)} days ago`
    const date = new Date(then)
    const year = date.getUTCFullYear() === new Date().getUTCFullYear() ? "" : ` ${date.getUTCFullYear()}`
    return `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]}${year}`
  }
  const spell = seconds => {
    const s = Math.max(0, Math.floor(seconds))
    if (s < 60) return `${s} s`
    const two = n => String(n).padStart(2, "0")
    return s < 3600 ? `${Math.floor(s / 60)} m ${two(s % 60)} s` : `${Math.floor(s / 3600)} h ${two(Math.floor(s / 60) % 60)} m`
  }
  const clock = seconds => {
    const s = Math.max(0, Math.floor(seconds))
    const two = n => String(n).padStart(2, "0")
    return s < 3600 ? `${Math.floor(s / 60)}:${two(s % 60)}` : `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`
  }
  // Counters start from what the server said and go on from when this part arrived, so a wrong clock does no harm.
  const arrived = new WeakMap()
  const since = node => {
    const mark = arrived.get(node)
    const said = node.dataset.count ?? node.dataset.seconds
    if (mark && mark.said === said) return (Date.now() - mark.at) / 1000
    arrived.set(node, { said, at: Date.now() })
    return 0
  }
  const tick = () => {
    $$("[data-elapsed]").forEach(n => { 
      const seconds = (Date.now() - Date.parse(n.dataset.elapsed)) / 1000
      n.textContent = n.dataset.clock === undefined ? spell(seconds) : clock(seconds)
    })
    $$("[data-count]").forEach(n => {
      const seconds = Number(n.dataset.count) + since(n)
      n.textContent = n.dataset.clock === undefined ? spell(seconds) : clock(seconds)
    })
    $$("[data-grow]").forEach(bar => {
      const share = Math.min(1, Math.max(0.02, (Number(bar.dataset.seconds) + since(bar)) / Number(bar.dataset.expected)))
      const width = `${(bar.dataset.grow * share).toFixed(2)}%`
      bar.setAttribute("width", width)
      bar.nextElementSibling?.setAttribute("width", width)
    })
  }
  const freshen = () => $$("time[data-ago]").forEach(t => { t.textContent = ago(Date.parse(t.dateTime)) })

  /* ---------- files that are sent as soon as they are chosen ---------- */
  const sendFile = input => {
    const [file] = input.files
    if (!file) return
    if (file.size <= Number(input.dataset.send)) return input.form.requestSubmit()
    toast(input.dataset.large, "error")
    input.value = ""
  }

  /* ---------- acts ---------- */
  const acts = {
    theme: b => { setTheme(b.dataset.theme); b.closest("[popover]")?.hidePopover(); $("#palette")?.close() },
    "nav-open": () => nav(true),
    "nav-close": () => nav(false),
    palette,
    copy: b => { copy(b.dataset.copy); b.closest("[popover]")?.hidePopover() },
    dialog: openDialog,
    close: b => b.closest("dialog").close(),
    back: () => history.length > 1 ? history.back() : location.assign("/"),
    reveal(b) {
      const input = $("#" + b.getAttribute("aria-controls"))
      const on = input.type === "password"
      input.type = on ? "text" : "password"
      b.setAttribute("aria-pressed", on)
    },
  }
  document.addEventListener("click", e => {
    const button = e.target.closest("[data-act]")
    if (button) acts[button.dataset.act]?.(button, e)
    // The status chosen above a list goes along with the next search.
    const chosen = e.target.closest("[data-set-status]")
    const filters = chosen && $("#filters")
    if (filters) {
      const field = $("[name=status]", filters) ?? filters.appendChild(Object.assign(document.createElement("input"), { type: "hidden", name: "status" }))
      field.value = chosen.dataset.setStatus
    }
    if (e.target instanceof HTMLDialogElement) e.target.close()
  })
  document.addEventListener("change", e => {
    if (e.target.name === "theme") setTheme(e.target.value)
    if (e.target.matches("input[type=file][data-send]")) sendFile(e.target)
  })
  document.addEventListener("input", e => {
    if (e.target.closest("#palette")) filter()
    if (e.target.closest("[data-confirm]")) confirmed(e.target)
  })
  document.addEventListener("keydown", e => {
    const typing = e.target.closest?.("input, textarea, select, [contenteditable]")
    if ((e.metaKey || e.ctrlKey) && e.key.toLowerCase() === "k") { e.preventDefault(); palette() }
    if (e.key === "Escape" && root.hasAttribute("data-nav")) nav(false)
    if (e.key === "/" && !typing) {
      const search = $("main input[type=search]")
      if (search) { e.preventDefault(); search.focus() }
    }
    walk(e)
    if (!e.target.closest?.("#palette")) return
    const list = options()
    const at = list.findIndex(o => o.getAttribute("aria-selected") === "true")
    if (e.key === "ArrowDown" || e.key === "ArrowUp") {
      e.preventDefault()
      choose(list[(at + (e.key === "ArrowDown" ? 1 : -1) + list.length) % list.length])
    }
    if (e.key === "Enter" && list[at]) { e.preventDefault(); list[at].click() }
  })

  // A form that is on its way says so and cannot be sent twice; coming back by the history brings it to life again.
  const rest = form => {
    const button = $("[aria-busy=true]", form)
    if (!button) return
    button.disabled = false
    button.removeAttribute("aria-busy")
    button.textContent = button.dataset.words
  }
  document.addEventListener("submit", e => {
    const form = e.target
    if (e.defaultPrevented || form.method !== "post") return
    const button = e.submitter ?? $("[type=submit]", form)
    if (!button || button.name) return
    if (form.dataset.busy) { button.dataset.words = button.textContent; button.textContent = form.dataset.busy }
    button.setAttribute("aria-busy", "true")
    setTimeout(() => { button.disabled = true })
  })
  addEventListener("pageshow", e => { if (e.persisted) $$("form").forEach(rest) })

  /* ---------- htmx ---------- */
  document.addEventListener("toast", e => toast(e.detail.text ?? e.detail.value, e.detail.kind))
  document.addEventListener("htmx:after:swap", e => {
    tick()
    freshen()
    if (e.target.closest?.("#palette")) found()
  })
  // The block a part asks for is no business of the address bar, nor are empty filters.
  document.addEventListener("htmx:before:history:update", e => {
    const action = e.detail.history
    const url = new URL(action.path, location.href)
    for (const [name, value] of [...url.searchParams]) if (name === "block" || value === "") url.searchParams.delete(name)
    action.path = url.pathname + url.search + url.hash
  })
  document.addEventListener("htmx:error", () => toast("The server cannot be reached. Check the connection and try again.", "error"))

  // An answer to a form gets an address that can be loaded again: a reload must not send the form a second time, nor Back ask.
  const settleAddress = () => {
    const named = $("[data-address]")?.dataset.address
    const again = $$("form[method=post]").some(form => form.getAttribute("action")?.split("?")[0] === location.pathname)
    if (named || again) history.replaceState(history.state, "", named ?? location.href)
  }
  // The first field that is wrong, before the one that has the focus on a fresh page. A tab that is out of sight comes into it.
  const settleSight = () => {
    $("main [aria-invalid=true]")?.focus()
    const tab = $(".tabline [aria-current]")
    const row = tab?.parentElement
    if (row) row.scrollLeft += tab.getBoundingClientRect().left - row.getBoundingClientRect().left - (row.clientWidth - tab.offsetWidth) / 2
  }

  addEventListener("DOMContentLoaded", () => {
    settleAddress()
    settleSight()
    const apple = /Mac|iPhone|iPad/.test(navigator.platform)
    $$("[data-key]").forEach(k => { k.textContent = (apple ? "⌘" : "Ctrl ") + k.dataset.key })
    settleTheme()
    paint()
    $$("#toasts .note").forEach(fade)
    $$("[data-confirm] [name=confirm]").forEach(confirmed)
    $$("dialog[data-open]").forEach(d => d.showModal())
    tick()
    setInterval(tick, 1000)
    setInterval(freshen, 20000)
  })
  globalThis.devflow = { toast, copy, spell }
})()
