const count = document.querySelector("#count");
count.addEventListener("click", () => {
  count.textContent = String(Number(count.textContent) + 1);
});

const built = document.querySelector("#built");
built.dateTime = __BUILT_AT__;
built.textContent = new Date(__BUILT_AT__).toLocaleString();
