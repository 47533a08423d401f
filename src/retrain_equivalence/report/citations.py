"""BibTeX of what a study rests on: the paper, the objectives that it uses, and the data sets by kind."""

from __future__ import annotations

from retrain_equivalence.histories.unlearning import WeightEdit
from retrain_equivalence.objectives.catalogue import entries
from retrain_equivalence.recipes.dataset import DatasetRecipe, RefusalsDataset, kind_of
from retrain_equivalence.recipes.model import LoraTuning, TinyModel
from retrain_equivalence.recipes.objective import ObjectiveRecipe
from retrain_equivalence.study.study import Study

PAPER = """@article{yu2025impossibility,
  title   = {On the Impossibility of Retrain Equivalence in Machine Unlearning},
  author  = {Yu, Jiatong and He, Yinghui and Goyal, Anirudh and Arora, Sanjeev},
  journal = {arXiv preprint arXiv:2510.16629},
  year    = {2025}
}"""

ILHARCO_TASK_VECTORS = """@inproceedings{ilharco2023editing,
  title     = {Editing Models with Task Arithmetic},
  author    = {Ilharco, Gabriel and Ribeiro, Marco Tulio and Wortsman, Mitchell and Gururangan, Suchin and
               Schmidt, Ludwig and Hajishirzi, Hannaneh and Farhadi, Ali},
  booktitle = {International Conference on Learning Representations},
  year      = {2023},
  eprint    = {2212.04089},
  archiveprefix = {arXiv}
}"""

HU_LORA = """@inproceedings{hu2022lora,
  title     = {{LoRA}: Low-Rank Adaptation of Large Language Models},
  author    = {Hu, Edward J. and Shen, Yelong and Wallis, Phillip and Allen-Zhu, Zeyuan and Li, Yuanzhi and
               Wang, Shean and Wang, Lu and Chen, Weizhu},
  booktitle = {International Conference on Learning Representations},
  year      = {2022}
}"""

TOFU = """@inproceedings{maini2024tofu,
  title     = {{TOFU}: A Task of Fictitious Unlearning for {LLM}s},
  author    = {Maini, Pratyush and Feng, Zhili and Schwarzschild, Avi and Lipton, Zachary C. and Kolter, J. Zico},
  booktitle = {First Conference on Language Modeling},
  year      = {2024},
  eprint    = {2401.06121},
  archiveprefix = {arXiv}
}"""

GSM8K = """@article{cobbe2021training,
  title   = {Training Verifiers to Solve Math Word Problems},
  author  = {Cobbe, Karl and Kosaraju, Vineet and Bavarian, Mohammad and Chen, Mark and Jun, Heewoo and
             Kaiser, Lukasz and Plappert, Matthias and Tworek, Jerry and Hilton, Jacob and Nakano, Reiichiro and
             Hesse, Christopher and Schulman, John},
  journal = {arXiv preprint arXiv:2110.14168},
  year    = {2021}
}"""

SKILLMIX = """@article{kaur2024instructskillmix,
  title   = {Instruct-SkillMix: A Powerful Pipeline for {LLM} Instruction Tuning},
  author  = {Kaur, Simran and Park, Simon and Goyal, Anirudh and Arora, Sanjeev},
  journal = {arXiv preprint arXiv:2408.14774},
  year    = {2024}
}"""

SELF_INSTRUCT = """@inproceedings{wang2023selfinstruct,
  title     = {Self-Instruct: Aligning Language Models with Self-Generated Instructions},
  author    = {Wang, Yizhong and Kordi, Yeganeh and Mishra, Swaroop and Liu, Alisa and Smith, Noah A. and
               Khashabi, Daniel and Hajishirzi, Hannaneh},
  booktitle = {Proceedings of the 61st Annual Meeting of the Association for Computational Linguistics},
  year      = {2023},
  eprint    = {2212.10560},
  archiveprefix = {arXiv}
}"""

SORRY_BENCH = """@inproceedings{xie2025sorrybench,
  title     = {{SORRY-Bench}: Systematically Evaluating Large Language Model Safety Refusal},
  author    = {Xie, Tinghao and Qi, Xiangyu and Zeng, Yi and Huang, Yangsibo and Sehwag, Udari Madhushani and
               Huang, Kaixuan and He, Luxi and Wei, Boyi and Li, Dacheng and Sheng, Ying and others},
  booktitle = {International Conference on Learning Representations},
  year      = {2025},
  eprint    = {2406.14598},
  archiveprefix = {arXiv}
}"""

DO_NOT_ANSWER = """@inproceedings{wang2024donotanswer,
  title     = {Do-Not-Answer: Evaluating Safeguards in {LLM}s},
  author    = {Wang, Yuxia and Li, Haonan and Han, Xudong and Nakov, Preslav and Baldwin, Timothy},
  booktitle = {Findings of the Association for Computational Linguistics: EACL 2024},
  year      = {2024},
  eprint    = {2308.13387},
  archiveprefix = {arXiv}
}"""

HARMFUL_QA = """@article{bhardwaj2023redteaming,
  title   = {Red-Teaming Large Language Models using Chain of Utterances for Safety-Alignment},
  author  = {Bhardwaj, Rishabh and Poria, Soujanya},
  journal = {arXiv preprint arXiv:2308.09662},
  year    = {2023}
}"""

AART = """@inproceedings{radharapu2023aart,
  title     = {{AART}: {AI}-Assisted Red-Teaming with Diverse Data Generation for New {LLM}-powered Applications},
  author    = {Radharapu, Bhaktipriya and Robinson, Kevin and Aroyo, Lora and Lahoti, Preethi},
  booktitle = {Proceedings of the 2023 Conference on Empirical Methods in Natural Language Processing: Industry Track},
  year      = {2023},
  eprint    = {2311.08592},
  archiveprefix = {arXiv}
}"""

REFUSALS: dict[str, tuple[str, ...]] = {
    "prompts": (AART, HARMFUL_QA, DO_NOT_ANSWER),
    "sorry_bench": (SORRY_BENCH,),
    "do_not_answer": (DO_NOT_ANSWER,),
    "harmfulqa": (HARMFUL_QA,),
}
"""Source of the prompts -> whose they are; the refusals themselves are this package's templates."""

DATASETS: dict[str, tuple[str, ...]] = {
    "generated": (),
    "tofu": (TOFU,),
    "gsm8k": (GSM8K,),
    "instruct_skillmix": (SKILLMIX,),
    "instruct_mix": (SKILLMIX, SELF_INSTRUCT),
    "jsonl": (),
    "text": (),
}
"""Kind of data set -> the entries to cite; a user's own rows and generated ones have none."""


def bibtex(study: Study) -> str:
    """Return the BibTeX entries of a study: the paper first, then objectives, then data sets, each entry once.

    An objective that a plug-in brings and that is not loaded here is named in a comment, since its entry is in its own
    source.
    """
    known = entries()
    found = [PAPER]
    for recipe in (one for u in study.unlearnings for phase in u.phases for one in _summands(phase.objective)):
        if recipe.name in known:
            found.append(known[recipe.name].kind.cite.strip())
        else:
            found.append(f"% objective {_one_line(recipe.name)} ({_one_line(recipe.source)}): cite its own source")
    if any(isinstance(step, WeightEdit) for u in study.unlearnings for step in u.procedure):
        found.append(ILHARCO_TASK_VECTORS)
    datasets: list[DatasetRecipe] = [stage.dataset for stage in study.stages]
    datasets += [study.placebo] if study.placebo is not None else []
    if isinstance(study.model, TinyModel) and study.model.pretraining is not None:
        datasets.append(study.model.pretraining.dataset)
    found += [entry for dataset in datasets for entry in _of_dataset(dataset)]
    if isinstance(study.model.tuning, LoraTuning) or any(isinstance(u.tuning, LoraTuning) for u in study.unlearnings):
        found.append(HU_LORA)
    return "\n\n".join(dict.fromkeys(found)) + "\n"


def _summands(recipe: ObjectiveRecipe) -> tuple[ObjectiveRecipe, ...]:
    return tuple(term.objective for term in recipe.terms) or (recipe,)


def _of_dataset(dataset: DatasetRecipe) -> tuple[str, ...]:
    return REFUSALS[dataset.refusals] if isinstance(dataset, RefusalsDataset) else DATASETS[kind_of(dataset)]


def _one_line(text: str) -> str:
    return " ".join(text.split())
