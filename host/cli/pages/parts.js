// SPDX-License-Identifier: Apache-2.0
// What the scripts of the pages share. Stands before the page's own script.
const onepeacePage = (() => {
    "use strict";

    // make("p", {className: "a"}, child or text ...); a missing child is left out.
    function make(tag, properties, ...children) {
        const element = document.createElement(tag);
        for (const [name, value] of Object.entries(properties || {}))
            if (name in element) element[name] = value;
            else element.setAttribute(name, value);
        element.append(...children.filter((child) => child !== null && child !== undefined));
        return element;
    }

    function svg(tag, attributes, ...children) {
        const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
        for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
        element.append(...children);
        return element;
    }

    // A button that goes through the system's theme, light and dark.
    function prepareTheme(button) {
        const names = ["auto", "light", "dark"];
        let at = 0;
        try { // a page of a file may have no storage
            at = Math.max(0, names.indexOf(localStorage.getItem("onepeace-theme")));
        } catch (error) { at = 0; }
        const apply = () => {
            if (at) document.documentElement.dataset.theme = names[at];
            else delete document.documentElement.dataset.theme;
            button.textContent = "Theme: " + names[at];
        };
        button.addEventListener("click", () => {
            at = (at + 1) % names.length;
            try {
                localStorage.setItem("onepeace-theme", names[at]);
            } catch (error) { /* it lasts until the page is closed */ }
            apply();
        });
        button.hidden = false;
        apply();
    }

    return { make, svg, prepareTheme };
})();
