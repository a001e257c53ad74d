// The images wall: counts the ticked images, ticks all that are shown, and disables the download of none.

const form = document.getElementById("selection");
const boxes = () => [...document.querySelectorAll("#main input[name=image]")];

function show() {
  const count = boxes().filter((box) => box.checked).length;
  const [output, button] = [form.querySelector("#selected"), form.querySelector("button[value=selected]")];
  const text = count ? `${count} selected` : "";
  if (output.textContent !== text) output.textContent = text;
  if (button.disabled !== (count === 0)) button.disabled = count === 0;
}

if (form) {
  form.querySelector("#select-shown").addEventListener("click", () => {
    const isAll = boxes().every((box) => box.checked);
    for (const box of boxes()) box.checked = !isAll;
    show();
  });
  document.addEventListener("change", ({ target }) => target.name === "image" && show());
  // The page is refreshed in place, to the form of a page without ticked images.
  new MutationObserver(show).observe(form, { attributes: true, childList: true, subtree: true });
  show();
}
