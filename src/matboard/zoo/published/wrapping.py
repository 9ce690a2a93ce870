"""The words that the published models put around picture and question.

A folder's chat template says how its model was trained to be asked; docs/published_models.md lists
other ways, which are given as ``template``.
"""

from __future__ import annotations

_CHAT = (
    "{{% for message in messages %}}{before}{{% for part in message['content'] if part['type'] =="
    " 'image' %}}{open}<image>{close}{{% endfor %}}{between}{{% for part in message['content'] if"
    " part['type'] == 'text' %}}{{{{ part['text'] }}}}{{% endfor %}}{{% endfor %}}{{% if"
    " add_generation_prompt %}}{after}{{% endif %}}"
)

MINIGPT4 = _CHAT.format(
    before="###Human: ",
    open="<Img>",
    close="</Img>",
    between=" ",
    after=" ###Assistant:",
)
"""Chat template of MiniGPT-4 and VPGTrans (Vision-CAIR/MiniGPT-4, VPGTrans:
``prompts/alignment.txt`` within ``prompt_template``).
"""

VISUALGLM = _CHAT.format(
    before="", open="<img>", close="</img>", between=" Q: ", after=" A:"
)
"""Chat template of tiny-visualglm, after VisualGLM's English one (THUDM/VisualGLM-6B)."""
