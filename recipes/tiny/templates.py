"""How MiniGPT-4, VPGTrans and VisualGLM are asked, as chat templates: kept by a folder's tokenizer,
so that it says itself how it wants to be asked.
"""

_TEMPLATE = (
    "{{% for message in messages %}}{before}{{% for part in message['content'] if part['type'] =="
    " 'image' %}}{open}<image>{close}{{% endfor %}}{between}{{% for part in message['content'] if"
    " part['type'] == 'text' %}}{{{{ part['text'] }}}}{{% endfor %}}{{% endfor %}}{{% if"
    " add_generation_prompt %}}{after}{{% endif %}}"
)

MINIGPT4_TEMPLATE = _TEMPLATE.format(
    before="###Human: ",
    open="<Img>",
    close="</Img>",
    between=" ",
    after=" ###Assistant:",
)
"""Chat template of MiniGPT-4 and VPGTrans (Vision-CAIR/MiniGPT-4, VPGTrans:
``prompts/alignment.txt``).
"""

VISUALGLM_TEMPLATE = _TEMPLATE.format(
    before="", open="<img>", close="</img>", between=" Q: ", after=" A:"
)
"""Chat template of VisualGLM (THUDM/VisualGLM-6B: ``Q: … A:`` after the picture)."""
