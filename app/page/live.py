"""The tab of the microphone: one element, which live.js makes; Gradio's settings are passed on."""

import html

import gradio as gr

# The element hears of each change; what it does with it is its own matter.
PASS_ON = """(model, sensitivity) => {
    document.querySelector("sssm-live")?.configure(model, Number(sensitivity));
    return [];
}"""


def live_tab(model: gr.Dropdown, sensitivity: gr.Slider) -> None:
    """Lay out the tab, inside of a `gr.Tab`."""
    name = html.escape(str(model.value), quote=True)
    gr.HTML(f'<sssm-live data-model="{name}" data-most="{sensitivity.maximum:g}"></sssm-live>')
    gr.on(
        [model.change, sensitivity.change], None, [model, sensitivity], None, js=PASS_ON,
        api_visibility="private",
    )  # fmt: skip
